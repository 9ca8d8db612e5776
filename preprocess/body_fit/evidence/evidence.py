"""Everything that the pictures show of the body, as one dataclass of tensors."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.io import threads
from hashhuman.io.files import read_rgb
from preprocess.body_fit.evidence.flow import Flow, observe_flow
from preprocess.body_fit.evidence.observe import Observations, point_trust
from preprocess.body_fit.evidence.silhouette import Silhouettes, observe_silhouettes
from preprocess.body_fit.evidence.texture import Texture, Window, texture_window
from preprocess.body_fit.evidence.turns import Turns

Tensors = TypeVar("Tensors", bound=Any)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What F pictures of one camera show; L landmarks."""

    K: Float[Tensor, "3 3"]
    """Intrinsics (pixels)."""
    image: Float[Tensor, "F L 2"]
    """The landmarks in the pictures (pixels)."""
    image_weight: Float[Tensor, "F L"]
    """How far to trust each of them, in [0, 1]."""
    world: Float[Tensor, "F L 3"]
    """The landmarks in 3D (m; camera axes, any origin)."""
    world_weight: Float[Tensor, "F L"]
    silhouettes: Silhouettes
    flow: Flow
    texture: Texture
    turns: Turns

    @classmethod
    def of(
        cls,
        observations: Observations,
        K: Float[Tensor, "3 3"],
        paths: Sequence[Path],
        masks: list[np.ndarray | None],
        weighted: Collection[str],
        turns: Turns | None = None,
    ) -> "Evidence":
        """Collects the evidence that the weighted terms need.

        Args:
            observations: the points of the F frames.
            K: intrinsics (pixels).
            paths: the pictures; they are read only if the terms `flow` or `texture` are weighted.
            masks: 8-bit masks of the person (H x W), None where there is none.
            weighted: names of the terms that some stage of the fit weighs.
            turns: how joints are turned; None: it was not measured.
        """
        visibility = torch.from_numpy(observations.visibility).float()
        trust = torch.from_numpy(point_trust(observations.world)).float()
        if {"flow", "texture"}.intersection(weighted):
            flow, texture = _observe_pictures(paths, masks)
        else:
            flow, texture = Flow.untrusted(len(masks)), Texture.untrusted(len(masks))
        return cls(
            K=K,
            image=torch.from_numpy(observations.image).float(),
            image_weight=visibility.square() * trust,
            world=torch.from_numpy(observations.world).float(),
            world_weight=visibility * trust * torch.from_numpy(observations.has_world)[:, None],
            silhouettes=observe_silhouettes(masks),
            flow=flow,
            texture=texture,
            turns=turns or Turns.untrusted(len(masks)),
        )


def to_device(tensors: Tensors, device: torch.device | str) -> Tensors:
    """A copy of a dataclass of tensors, or of such dataclasses, with every tensor on the device."""
    values = {field.name: getattr(tensors, field.name) for field in dataclasses.fields(tensors)}
    there = {name: x.to(device) if isinstance(x, Tensor) else to_device(x, device) for name, x in values.items()}
    return dataclasses.replace(tensors, **there)


def _observe_pictures(paths: Sequence[Path], masks: list[np.ndarray | None]) -> tuple[Flow, Texture]:
    """Flow and texture. Each picture is read once, and only a few are in memory at a time."""
    windows: list[Window] = []

    def read(picture: tuple[Path, np.ndarray | None]) -> tuple[np.ndarray, Window]:
        path, mask = picture
        image = read_rgb(path)
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), texture_window(image, mask)

    def greys() -> Iterator[np.ndarray]:
        for grey, window in threads.ordered(read, zip(paths, masks, strict=True)):
            windows.append(window)
            yield grey

    flow = observe_flow(greys(), masks)
    return flow, Texture.of(windows)
