"""Draws the rays of a training step, on the training device."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.data.batch import RayBatch
from hashhuman.data.error_map import ErrorMap
from hashhuman.data.pixels import PixelStore
from hashhuman.errors import UserError


class RaySampler:
    """Draws random pixels of the store's pools, and square patches around random pixels of the body.

    Args:
        n_rays: number of single rays a step, of all processes together, up to the rounding of the shares.
        shares: pool -> share of the single rays. `parts` stands for all part pools in equal shares, so that small parts
            (hands, head) get as many rays as large ones. `errors` stands for where pictures are shown worst.
        n_patches: number of patches a step, drawn while a loss compares them.
        patch_size: side of a patch (pixels).
        background: `random` draws a background colour for each single ray and each patch, so that the loss penalises
            density beside the person. `black` is the background of instant-nvr.
        error_map: draws the share `errors`; not used without it.

    Raises UserError if no share is above 0, or there is a share `errors` and no map.
    """

    def __init__(
        self,
        n_rays: int,
        shares: Mapping[str, float],
        n_patches: int,
        patch_size: int,
        background: Literal["random", "black"],
        error_map: ErrorMap | None = None,
    ) -> None:
        if not any(share > 0 for share in shares.values()):
            raise UserError("data.ray_sampler.shares are all 0: at least one must be above 0.")
        self.background: Literal["random", "black"] = background
        self.n_rays, self.shares = n_rays, {name: share for name, share in shares.items() if share > 0}
        self.n_patches, self.patch_size = n_patches, patch_size
        self.error_map = error_map if "errors" in self.shares else None
        if "errors" in self.shares and error_map is None:
            raise UserError("data.ray_sampler.shares.errors needs data.ray_sampler.error_map, which is null.")

    def share(self, processes: int) -> "RaySampler":
        """The sampler of one of several processes, which together draw as many rays; numbers are rounded up."""
        n_rays, n_patches = math.ceil(self.n_rays / processes), math.ceil(self.n_patches / processes)
        return RaySampler(n_rays, self.shares, n_patches, self.patch_size, self.background, self.error_map)

    def draw(self, store: PixelStore, scale: float = 1.0, patches: bool = True) -> RayBatch:
        """Draws a batch: the rays of the patches, if `patches`, then `scale` times `n_rays` single rays.

        Raises UserError if `shares` names a pool that the store lacks.
        """
        pixels = self.single_pixels(store, scale)
        patch = None
        if patches and self.n_patches:
            pixels = torch.cat([self.patch_pixels(store).flatten(), pixels])
            patch = (self.n_patches, self.patch_size, self.patch_size)
        color = store.color[pixels].float() / 255
        mask = store.mask[pixels].float() / 255
        background = self.backgrounds(color, patch)
        pictures = store.pictures(pixels)
        over = color + (1 - mask[:, None]) * background
        return RayBatch(store.rays(pixels, pictures), over, mask, background, patch, pictures, pixels)

    def backgrounds(
        self, color: Float[Tensor, "N 3"], patch: tuple[int, int, int] | None = None
    ) -> Float[Tensor, "N 3"]:
        """The background colour of each ray, in [0, 1]; `patch` as in `RayBatch`."""
        if self.background == "black":
            return torch.zeros_like(color)
        if patch is None:
            return torch.rand_like(color)
        count, size = patch[0], patch[1] * patch[2]
        in_patches = count * size
        per_patch = torch.rand(count, 1, 3, device=color.device).expand(-1, size, -1)
        return torch.cat([per_patch.flatten(0, 1), torch.rand_like(color[in_patches:])])

    def single_pixels(self, store: PixelStore, scale: float = 1.0) -> Int[Tensor, "N"]:
        """Draws single pixels (positions in the store) by the shares of their pools."""
        pools: dict[str, float] = {}
        for name, share in self.shares.items():
            members = [pool for pool in store.pools if pool.startswith("part ")] if name == "parts" else [name]
            if not members:
                raise UserError(
                    "data.ray_sampler.shares.parts needs part labels, and this subject has no schp/ folder."
                )
            pools |= {member: share / len(members) for member in members}
        total = sum(pools.values())
        counts = {name: round(self.n_rays * scale * share / total) for name, share in pools.items()}
        return torch.cat([self._drawn(store, name, count) for name, count in counts.items()])

    def _drawn(self, store: PixelStore, pool: str, count: int) -> Int[Tensor, "_"]:
        if pool == "errors" and self.error_map is not None:
            return self.error_map.draw(store, count)
        return store.draw(pool, count)

    def patch_pixels(self, store: PixelStore) -> Int[Tensor, "P S S"]:
        """Draws patches (positions in the store): squares around random pixels of the body, kept inside their crops."""
        centers = store.draw("body", self.n_patches)
        picture = store.pictures(centers)
        width = store.width[picture]
        inside = centers - store.start[picture]
        height = (store.start[picture + 1] - store.start[picture]) // width
        half = self.patch_size // 2
        x = torch.minimum(inside % width - half, width - self.patch_size).clamp_min(0)
        y = torch.minimum(inside // width - half, height - self.patch_size).clamp_min(0)
        step = torch.arange(self.patch_size, device=centers.device)
        # Crops narrower than a patch repeat their border.
        column = torch.minimum(x[:, None] + step, width[:, None] - 1)
        row = torch.minimum(y[:, None] + step, height[:, None] - 1)
        return store.start[picture][:, None, None] + row[:, :, None] * width[:, None, None] + column[:, None, :]
