"""The training pictures as one list of pixels on the training device, and the pools that rays are drawn from."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays


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
class Crops:
    """P pixels of K pictures, cut down to the body's surroundings: a `PixelStore` on the host, without its cameras."""

    color: UInt8[np.ndarray, "P 3"]
    mask: UInt8[np.ndarray, "P"]
    around: Bool[np.ndarray, "P"]  # whether the mask covers it, or the body's shell may project there
    part: UInt8[np.ndarray, "P"]  # 255 where none
    corner: Int[np.ndarray, "K 2"]  # x, y of each crop's first pixel
    size: Int[np.ndarray, "K 2"]  # width and height of each crop

    @classmethod
    def cut(cls, picture: TrainingPicture, reach: float) -> "Crops":
        """One picture's; `reach` (m) is how far from the body the shell extends."""
        around = shell_footprint(picture, reach)
        x, y, width, height = cv2.boundingRect(around.astype(np.uint8))
        crop = np.s_[y : y + height, x : x + width]
        part = np.full_like(picture.mask, 255) if picture.parts is None else picture.parts
        return cls(
            color=picture.color[crop].reshape(-1, 3),
            mask=picture.mask[crop].reshape(-1),
            around=around[crop].reshape(-1),
            part=part[crop].reshape(-1),
            corner=np.array([[x, y]]),
            size=np.array([[width, height]]),
        )

    @classmethod
    def join(cls, crops: Sequence["Crops"]) -> "Crops":
        """All in one, in their order."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: np.concatenate([getattr(crop, name) for crop in crops]) for name in names})


@dataclasses.dataclass(frozen=True)
class PixelStore:
    """P pixels of K pictures, cropped to the body's surroundings.

    `pools` name lists of pixels (positions in 0..P): `body` (any coverage), `surround` (none, but the body's shell may
    project there) and, where the pictures carry part labels, one `part N` for each part. The pool `box` (all) needs no
    list.
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
        crops = Crops.join([Crops.cut(picture, reach) for picture in pictures])
        cameras, frames = [picture.camera for picture in pictures], [picture.frame for picture in pictures]
        return cls.of(crops, cameras, frames, device)

    @classmethod
    def of(
        cls, crops: Crops, cameras: Sequence[Camera], frames: Sequence[int], device: torch.device | str
    ) -> "PixelStore":
        """Moves crops to the device. Raises UserError if no picture shows the person."""
        if not crops.mask.any():
            raise UserError(f"None of the {len(frames)} training pictures shows the person: their masks are empty.")
        color, mask, corner, size = (
            torch.from_numpy(array).to(device) for array in (crops.color, crops.mask, crops.corner, crops.size)
        )

        def selected(chosen: Bool[Tensor, "P"]) -> Int[Tensor, "_"]:
            return chosen.nonzero()[:, 0].int()

        around = torch.from_numpy(crops.around).to(device)
        pools = {"body": selected(mask > 0), "surround": selected(around & (mask == 0))}
        del around  # a byte for every pixel, of which there may be half a billion
        part = torch.from_numpy(crops.part).to(device)
        labels = torch.bincount(part, minlength=256)[:255].nonzero()[:, 0].tolist()
        pools |= {f"part {label}": selected(part == label) for label in labels}
        return cls(
            color=color,
            mask=mask,
            start=functional.pad(size.prod(1).cumsum(0), (1, 0)),
            corner=corner,
            width=size[:, 0],
            world_from_pixel=torch.stack([c.R.T @ torch.linalg.inv(c.K) for c in cameras]).to(device),
            center=torch.stack([c.center for c in cameras]).to(device),
            frame=torch.tensor(frames, device=device),
            pools=pools,
        )

    def draw(self, pool: str, count: int) -> Int[Tensor, "_"]:
        """`count` random pixels of a pool; none of an empty one. Raises UserError if there is no such pool."""
        if pool == "box":
            return torch.randint(len(self.color), (count,), device=self.color.device)
        if pool not in self.pools:
            raise UserError(f"data.ray_sampler.shares: no pool {pool!r} among {sorted([*self.pools, 'box'])}.")
        pixels = self.pools[pool]
        if not len(pixels):
            return pixels.long()
        return pixels[torch.randint(len(pixels), (count,), device=pixels.device)].long()

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
