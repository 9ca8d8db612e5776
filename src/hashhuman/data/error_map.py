"""Where the training pictures are shown worst, tile by tile, to draw more rays from there."""

import dataclasses

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.data.pixels import AT_ONCE, PixelStore

FIRST = 0.01  # the error that a tile full of the person counts as before it was looked at


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The T square tiles of all crops of a store, picture by picture and row by row, on its device."""

    side: int  # pixels; tiles at the right and the lower edge may be smaller
    across: Int[Tensor, "K"]  # tiles in a row
    height: Int[Tensor, "K"]  # of each crop (pixels)
    start: Int[Tensor, "K+1"]  # first tile of each picture, then T

    @classmethod
    def of(cls, store: PixelStore, side: int) -> "Tiles":
        """The tiles of a store."""
        height = (store.start[1:] - store.start[:-1]) // store.width
        across, down = (store.width + side - 1) // side, (height + side - 1) // side
        start = torch.nn.functional.pad((across * down).cumsum(0), (1, 0))
        return cls(side, across, height, start)

    def at(self, pixels: Int[Tensor, "N"], store: PixelStore) -> Int[Tensor, "N"]:
        """The tile of each pixel (a position in the store)."""
        picture = store.pictures(pixels)
        inside, width = pixels - store.start[picture], store.width[picture]
        row, column = inside // width // self.side, inside % width // self.side
        return self.start[picture] + row * self.across[picture] + column

    def draw(self, tiles: Int[Tensor, "N"], store: PixelStore) -> Int[Tensor, "N"]:
        """A random pixel (a position in the store) of each tile."""
        picture = torch.searchsorted(self.start, tiles, right=True) - 1
        inside, width = tiles - self.start[picture], store.width[picture]
        top, left = inside // self.across[picture] * self.side, inside % self.across[picture] * self.side
        y, x = torch.rand(2, len(tiles), device=tiles.device)
        row = top + (y * (self.height[picture] - top).clamp_max(self.side)).long()
        column = left + (x * (width - left).clamp_max(self.side)).long()
        return store.start[picture] + row * width + column


class ErrorMap:
    """Draws pixels in proportion to the colour error of their tile.

    What a step draws here is not divided by how likely it was. So the objective is not that of the pools alone, and is
    not meant to be: pixels count the more, the worse they are shown, as with a higher power of their error. The share
    `errors` of the single rays says how much of this there is.

    All sizes are fixed once it knows its pixels, and its memory stays in place, so that a captured step may use it.

    Args:
        tile: side of a tile (pixels).
        every: steps between two updates.
        rate: how far an update moves a tile's error towards the mean of what was observed there since the last one.
    """

    def __init__(self, tile: int, every: int, rate: float) -> None:
        self.tile, self.every, self.rate = tile, every, rate
        self.tiles: Tiles | None = None
        self.state: dict[str, Tensor] = {}  # error, and since the last update the sum of errors and their number
        self.cumulative = torch.zeros(0, dtype=torch.float64)  # sums of the tiles' errors, made with the tiles

    def start(self, store: PixelStore) -> Tiles:
        """Makes the tiles of a store, unless that is done; the host may wait for the device.

        At first a tile counts by how much of the person it shows.
        """
        if self.tiles is None:
            self.tiles = Tiles.of(store, self.tile)
            device, loaded = store.color.device, self.state
            self.state = {
                name: torch.zeros(int(self.tiles.start[-1]), device=device) for name in ("error", "sum", "count")
            }
            for first in range(0, len(store.pools["body"]), AT_ONCE):
                body = store.pools["body"][first : first + AT_ONCE].long()
                share = torch.full((len(body),), FIRST / self.tile**2, device=device)
                self.state["error"].index_add_(0, self.tiles.at(body, store), share)
            for name, value in loaded.items():
                self.state[name].copy_(value)
            self.cumulative = self.state["error"].double().cumsum(0)
        return self.tiles

    def draw(self, store: PixelStore, count: int) -> Int[Tensor, "count"]:
        """`count` pixels, as positions in the store."""
        tiles = self.start(store)
        places = torch.rand(count, dtype=torch.float64, device=store.color.device) * self.cumulative[-1]
        chosen = torch.searchsorted(self.cumulative, places, right=True).clamp_max(len(self.cumulative) - 1)
        return tiles.draw(chosen, store)

    def observe(self, store: PixelStore, pixels: Int[Tensor, "N"], errors: Float[Tensor, "N"]) -> None:
        """Notes the errors of pixels, given as positions in the store; errors that are not finite do not count."""
        tiles, finite = self.start(store).at(pixels, store), errors.isfinite()
        self.state["sum"].index_add_(0, tiles, torch.where(finite, errors, 0.0))
        self.state["count"].index_add_(0, tiles, finite.float())

    def after_step(self, step: int) -> None:
        """Updates the map every `every` steps, in place; the host does not wait."""
        if self.tiles is None or step % self.every:
            return
        error, total, count = self.state["error"], self.state["sum"], self.state["count"]
        error.copy_(torch.where(count > 0, error.lerp(total / count.clamp_min(1), self.rate), error))
        torch.cumsum(error.double(), 0, out=self.cumulative)
        total.zero_()
        count.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """What it knows of each tile."""
        return self.state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from a saved state, when it knows its pixels."""
        self.state, self.tiles = state, None
