"""The pixels of all training pictures as one list on the training device, with the pools that rays are drawn from."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from hashhuman.data.shelf import Shelf
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays

AT_ONCE = 2**24  # pixels whose pools are looked for at a time


@dataclasses.dataclass(frozen=True)
class TrainingPicture:
    """A training picture."""

    color: UInt8[np.ndarray, "H W 3"]  # RGB, the person on black: already multiplied by the mask
    mask: UInt8[np.ndarray, "H W"]  # coverage, 0 to 255
    camera: Camera
    frame: int  # position among the training frames
    vertices: Float[Tensor, "V 3"]  # of the frame's body in the world (m)
    parts: UInt8[np.ndarray, "H W"] | None = None  # part of each pixel; 255: none


@dataclasses.dataclass(frozen=True)
class Crops:
    """The P pixels of K pictures, cropped to the body's surroundings, on the CPU. `PixelStore` adds the cameras."""

    color: UInt8[np.ndarray, "P 3"]
    mask: UInt8[np.ndarray, "P"]
    around: Bool[np.ndarray, "P"]  # whether the mask covers it, or the body's shell may project there
    part: UInt8[np.ndarray, "P"]  # 255: none
    corner: Int[np.ndarray, "K 2"]  # x, y of each crop's first pixel
    size: Int[np.ndarray, "K 2"]  # width and height of each crop

    @classmethod
    def cut(cls, picture: TrainingPicture, reach: float) -> "Crops":
        """Crops one picture. `reach` is the distance (m) to which the shell around the body extends."""
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
    def join(cls, crops: Iterable["Crops"], shelf: Shelf | None = None) -> "Crops":
        """Concatenates crops in their order, on the shelf; None: in memory."""
        shelf = shelf or Shelf()
        rows = {field.name: shelf.rows() for field in dataclasses.fields(cls)}
        for crop in crops:
            for name, each in rows.items():
                each.append(getattr(crop, name))
        return cls(**{name: each.finish() for name, each in rows.items()})


@dataclasses.dataclass(frozen=True)
class PixelStore:
    """The P pixels of K pictures, cropped to the body's surroundings, on the training device.

    `pools` maps a name to pixels, as positions in 0..P: `body` (some coverage), `surround` (no coverage, but the body's
    shell may project there) and, if the pictures have part labels, `part N` for each part. The pool `box`, all pixels,
    needs no list.
    """

    color: UInt8[Tensor, "P 3"]  # RGB, the person on black
    mask: UInt8[Tensor, "P"]  # coverage, 0 to 255
    corner: Int[Tensor, "K 2"]  # x, y of each crop's first pixel
    start: Int[Tensor, "K+1"]  # first pixel of each crop, then P
    width: Int[Tensor, "K"]  # of each crop
    world_from_pixel: Float[Tensor, "K 3 3"]  # R^T K^-1: maps a pixel (x, y, 1) to a direction
    center: Float[Tensor, "K 3"]  # camera positions in the world (m)
    frame: Int[Tensor, "K"]  # positions among the training frames
    pools: dict[str, Int[Tensor, "_"]]

    @classmethod
    def build(cls, pictures: Sequence[TrainingPicture], reach: float, device: torch.device | str) -> "PixelStore":
        """Crops pictures and moves them to the device. `reach` is the distance (m) to which the shell extends.

        Raises UserError if no picture shows the person.
        """
        crops = Crops.join([Crops.cut(picture, reach) for picture in pictures])
        cameras, frames = [picture.camera for picture in pictures], [picture.frame for picture in pictures]
        return cls.of(crops, cameras, frames, device)

    @classmethod
    def of(
        cls, crops: Crops, cameras: Sequence[Camera], frames: Sequence[int], device: torch.device | str,
        shelf: Shelf | None = None,
    ) -> "PixelStore":  # fmt: skip
        """Moves crops to the device.

        Args:
            crops: the pictures.
            cameras: each picture's camera.
            frames: each picture's position among the training frames.
            device: the training device.
            shelf: for the pools, if the device is the CPU; None: they are in memory.

        Raises:
            UserError: if no picture shows the person.
        """
        if not crops.mask.any():
            raise UserError(f"None of the {len(frames)} training pictures shows the person: their masks are empty.")
        color, mask, corner, size = (
            torch.from_numpy(array).to(device) for array in (crops.color, crops.mask, crops.corner, crops.size)
        )

        around, part = torch.from_numpy(crops.around), torch.from_numpy(crops.part)
        pieces = [slice(first, first + AT_ONCE) for first in range(0, len(mask), AT_ONCE)]

        def selected(chosen: Callable[[slice], Bool[Tensor, "p"]]) -> Int[Tensor, "_"]:
            """The pixels that `chosen` says, of a piece at a time: there may be more of them than memory."""
            found = (chosen(piece).nonzero()[:, 0].int() + piece.start for piece in pieces)
            if shelf is None or mask.is_cuda:
                return torch.cat(list(found))
            rows = shelf.rows()
            for positions in found:
                rows.append(positions.numpy())
            return torch.from_numpy(rows.finish())

        pools = {
            "body": selected(lambda piece: mask[piece] > 0),
            "surround": selected(lambda piece: around[piece].to(device) & (mask[piece] == 0)),
        }
        counts = torch.stack([torch.bincount(part[piece].to(device), minlength=256) for piece in pieces]).sum(0)
        for label in counts[:255].nonzero()[:, 0].tolist():
            pools[f"part {label}"] = selected(lambda piece, label=label: part[piece].to(device) == label)
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
        """`count` random pixels of a pool, in the order of the store; none if the pool is empty.

        One is drawn from each of `count` equal shares of the pool. So all pictures have their part in every step, and
        neighbouring rays belong to the same body, whose data a GPU then reads once for all of them.

        Raises UserError if there is no such pool.
        """
        if pool == "box":
            return _spread(len(self.color), count, self.color.device)
        if pool not in self.pools:
            raise UserError(f"data.ray_sampler.shares: no pool {pool!r} among {sorted([*self.pools, 'box'])}.")
        pixels = self.pools[pool]
        if not len(pixels):
            return pixels.long()
        return pixels[_spread(len(pixels), count, pixels.device)].long()

    def pictures(self, pixels: Int[Tensor, "N"]) -> Int[Tensor, "N"]:
        """Which of the K pictures each pixel belongs to; pixels are given as positions in 0..P."""
        return torch.searchsorted(self.start, pixels, right=True) - 1

    def rays(self, pixels: Int[Tensor, "N"], picture: Int[Tensor, "N"] | None = None) -> Rays:
        """The rays through pixels, given as positions in 0..P. `picture`: their pictures, if these are known."""
        picture = self.pictures(pixels) if picture is None else picture
        inside = pixels - self.start[picture]
        x = self.corner[picture, 0] + inside % self.width[picture]
        y = self.corner[picture, 1] + inside // self.width[picture]
        position = torch.stack([x, y, torch.ones_like(x)], -1).float()
        rays_d = (self.world_from_pixel[picture] @ position[..., None])[..., 0]
        rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
        return Rays(self.center[picture], rays_d, self.frame[picture])


def _spread(length: int, count: int, device: torch.device) -> Int[Tensor, "count"]:
    """Random positions below `length`, all equally likely: the i-th lies in the i-th of `count` equal shares."""
    share = torch.arange(count, dtype=torch.double, device=device)  # single precision cannot tell millions of pixels
    place = (share + torch.rand_like(share)) * (length / max(count, 1))
    return place.long().clamp_max(length - 1)


def shell_footprint(picture: TrainingPicture, reach: float) -> np.ndarray:
    """Whether the mask covers each pixel (H, W), or the pixel lies within `reach` (m) of a projected body vertex."""
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
