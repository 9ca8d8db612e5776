"""What the pictures say about the body, as tensors that a fit compares it with."""

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
from preprocess.body_fit.evidence.observe import Observations
from preprocess.body_fit.evidence.silhouette import Silhouettes, observe_silhouettes
from preprocess.body_fit.evidence.texture import Texture, Window, texture_window

Record = TypeVar("Record", bound=Any)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """F frames, L landmarks."""

    K: Float[Tensor, "3 3"]
    image: Float[Tensor, "F L 2"]  # pixels
    image_weight: Float[Tensor, "F L"]
    world: Float[Tensor, "F L 3"]  # metres, camera orientation
    world_weight: Float[Tensor, "F L"]
    silhouettes: Silhouettes
    flow: Flow
    texture: Texture

    @classmethod
    def of(
        cls,
        observations: Observations,
        K: Float[Tensor, "3 3"],
        paths: Sequence[Path],
        masks: list[np.ndarray | None],
        weighted: Collection[str],
    ) -> "Evidence":
        """From a sequence's points, pictures and 8-bit masks of the person, as far as the terms `weighted` need it."""
        visibility = torch.from_numpy(observations.visibility).float()
        if {"flow", "texture"}.intersection(weighted):
            flow, texture = _look_at(paths, masks)
        else:
            flow, texture = Flow.untrusted(len(masks)), Texture.untrusted(len(masks))
        return cls(
            K=K,
            image=torch.from_numpy(observations.image).float(),
            image_weight=visibility.square(),
            world=torch.from_numpy(observations.world).float(),
            world_weight=visibility * torch.from_numpy(observations.has_world)[:, None],
            silhouettes=observe_silhouettes(masks),
            flow=flow,
            texture=texture,
        )


def moved(record: Record, device: torch.device | str) -> Record:
    """A dataclass of tensors, and of such dataclasses, with all of them on the device."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    there = {name: x.to(device) if isinstance(x, Tensor) else moved(x, device) for name, x in values.items()}
    return dataclasses.replace(record, **there)


def _look_at(paths: Sequence[Path], masks: list[np.ndarray | None]) -> tuple[Flow, Texture]:
    """Flow and texture, from one look at each picture."""
    windows: list[Window] = []

    def look(seen: tuple[Path, np.ndarray | None]) -> tuple[np.ndarray, Window]:
        image = read_rgb(seen[0])
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), texture_window(image, seen[1])

    def greys() -> Iterator[np.ndarray]:
        for grey, window in threads.ordered(look, zip(paths, masks, strict=True)):
            windows.append(window)
            yield grey

    flow = observe_flow(greys(), masks)
    return flow, Texture.of(windows)
