"""The training pictures as one list of pixels on the training device, and the pools that rays are drawn from."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hashhuman.data.camera import Camera
from hashhuman.errors import UserError
from hashhuman.renderer.volume import Rays


@dataclasses.dataclass(frozen=True)
class TrainingPicture:
    """One picture as training needs it."""

    color: UInt8[np.ndarray, "H W 3"]  # the person on black, so already multiplied by the mask
    mask: UInt8[np.ndarray, "H W"]  # coverage, 0 to 255
    camera: Camera
    frame: int  # index of the posed body
    vertices: Float[Tensor, "V 3"]  # of that body, world (m)
    parts: UInt8[np.ndarray, "H W"] | None = None  # part of each pixel, 255 where none


@dataclasses.dataclass(frozen=True)
class PixelStore:
    """P pixels of K pictures, cropped to the body's surroundings.

    `pools` name lists of pixels (positions in 0..P): `body` (any coverage), `surround` (none, but the body's shell may
    project there), `box` (all) and, where the pictures carry part labels, one `part N` for each part.
    """

    color: UInt8[Tensor, "P 3"]
    mask: UInt8[Tensor, "P"]
    corner: Int[Tensor, "K 2"]  # x, y of the crop's first pixel
    start: Int[Tensor, "K+1"]  # first pixel of each crop, then P
    width: Int[Tensor, "K"]  # of the crop
    world_from_pixel: Float[Tensor, "K 3 3"]  # R^T K^-1: pixel (x, y, 1) to a direction
    center: Float[Tensor, "K 3"]  # camera positions (m)
    frame: Int[Tensor, "K"]
    pools: dict[str, Int[Tensor, "_"]]

    @classmethod
    def build(cls, pictures: Sequence[TrainingPicture], reach: float, device: torch.device | str) -> "PixelStore":
        """Crops and stacks pictures; `reach` (m) is how far from the body the shell extends.

        Raises UserError if no picture shows the person.
        """
        color, mask, start, corner, width = [], [], [0], [], []
        pools: dict[str, list[np.ndarray]] = {"body": [], "surround": [], "box": []}
        for picture in pictures:
            around = shell_footprint(picture, reach)
            x, y, w, h = cv2.boundingRect(around.astype(np.uint8))
            crop = np.s_[y : y + h, x : x + w]
            color.append(picture.color[crop].reshape(-1, 3))
            mask.append(picture.mask[crop].reshape(-1))
            covered = mask[-1] > 0
            selections = {"body": covered, "surround": around[crop].reshape(-1) & ~covered, "box": covered | True}
            if picture.parts is not None:
                labels = picture.parts[crop].reshape(-1)
                selections |= {f"part {label}": labels == label for label in np.unique(labels[labels < 255])}
            for name, selected in selections.items():
                pools.setdefault(name, []).append(start[-1] + np.flatnonzero(selected))
            start.append(start[-1] + w * h)
            corner.append((x, y))
            width.append(w)
        if not any(map(len, pools["body"])):
            raise UserError(f"None of the {len(pictures)} training pictures shows the person: their masks are empty.")
        cameras = [picture.camera for picture in pictures]
        return cls(
            color=torch.from_numpy(np.concatenate(color)).to(device),
            mask=torch.from_numpy(np.concatenate(mask)).to(device),
            start=torch.tensor(start, device=device),
            corner=torch.tensor(corner, device=device),
            width=torch.tensor(width, device=device),
            world_from_pixel=torch.stack([c.R.T @ torch.linalg.inv(c.K) for c in cameras]).to(device),
            center=torch.stack([c.center for c in cameras]).to(device),
            frame=torch.tensor([picture.frame for picture in pictures], device=device),
            pools={
                name: torch.from_numpy(np.concatenate(lists).astype(np.int32)).to(device)
                for name, lists in pools.items()
            },
        )

    def rays(self, pixels: Int[Tensor, "N"]) -> Rays:
        """World rays through pixels of the list."""
        picture = torch.searchsorted(self.start, pixels, right=True) - 1
        inside = pixels - self.start[picture]
        x = self.corner[picture, 0] + inside % self.width[picture]
        y = self.corner[picture, 1] + inside // self.width[picture]
        position = torch.stack([x, y, torch.ones_like(x)], -1).float()
        direction = (self.world_from_pixel[picture] @ position[..., None])[..., 0]
        direction = direction / direction.norm(dim=-1, keepdim=True)
        return Rays(self.center[picture], direction, self.frame[picture])


def shell_footprint(picture: TrainingPicture, reach: float) -> np.ndarray:
    """Pixels (H, W, bool) that the mask covers, or that lie within `reach` (m) of a projected body point."""
    camera = picture.camera
    projected = camera.project(picture.vertices)
    height, width = picture.mask.shape
    around = (picture.mask > 0).astype(np.uint8)
    pixels = projected[:, :2].round().long().numpy()
    inside = ((pixels >= 0) & (pixels < (width, height))).all(1) & (projected[:, 2].numpy() > 0)
    around[pixels[inside, 1], pixels[inside, 0]] = 1
    radius = int(np.ceil(reach * float(camera.K[0, 0]) / max(float(projected[:, 2].median()), reach)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate(around, kernel) > 0
