"""Rays where pictures are shown worst."""

import numpy as np
import pytest
import torch

from hashhuman.data.error_map import FIRST, ErrorMap, Tiles
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.errors import UserError
from tests.hashhuman.data.test_ray_sampler import HEIGHT, WIDTH, build

SIDE = 4  # 14 x 20 pixels are 4 x 5 tiles, the lowest of which are 2 pixels high


@pytest.fixture(scope="module")
def store() -> PixelStore:
    return build()


def tile_by_hand(pixel: int) -> int:
    picture, inside = divmod(pixel, HEIGHT * WIDTH)
    y, x = divmod(inside, WIDTH)
    return 20 * picture + y // SIDE * 5 + x // SIDE


def test_tiles(store: PixelStore):
    tiles, everything = Tiles.of(store, SIDE), torch.arange(len(store.color))
    assert tiles.at(everything, store).tolist() == [tile_by_hand(pixel) for pixel in range(len(store.color))]
    torch.manual_seed(0)
    for tile in (0, 4, 17, 39):
        drawn = tiles.draw(torch.full((400,), tile), store)
        assert set(drawn.tolist()) == {p for p in range(len(store.color)) if tile_by_hand(p) == tile}


def test_at_first_tiles_count_by_the_person_in_them(store: PixelStore):
    error_map = ErrorMap(SIDE, 1, 0.5)
    error_map.start(store)
    body = np.bincount([tile_by_hand(int(pixel)) for pixel in store.pools["body"]], minlength=40)
    np.testing.assert_allclose(error_map.state["error"], FIRST * body / SIDE**2, rtol=1e-5)


def test_errors_are_followed_and_decide_what_is_drawn(store: PixelStore):
    error_map, pixels = ErrorMap(SIDE, every=2, rate=0.5), torch.tensor([0, 1, 279, 300, 301])
    error_map.start(store)
    first = error_map.state["error"].clone()
    error_map.observe(store, pixels, torch.tensor([0.2, 0.4, 0.5, 0.1, torch.nan]))
    error_map.after_step(1)  # not yet
    assert torch.equal(error_map.state["error"], first)
    address = error_map.cumulative.data_ptr()
    error_map.after_step(2)
    expected = first.clone()
    for tile, mean in ((0, 0.3), (19, 0.5), (tile_by_hand(300), 0.1)):
        expected[tile] = (first[tile] + mean) / 2
    torch.testing.assert_close(error_map.state["error"], expected)
    assert not error_map.state["sum"].any() and not error_map.state["count"].any()
    assert error_map.cumulative.data_ptr() == address  # a captured step reads there
    torch.manual_seed(0)
    drawn = error_map.draw(store, 20000)
    share = torch.bincount(torch.tensor([tile_by_hand(int(p)) for p in drawn]), minlength=40) / 20000
    torch.testing.assert_close(share, expected / expected.sum(), atol=0.015, rtol=0)


def test_the_sampler_draws_its_share(store: PixelStore):
    error_map = ErrorMap(SIDE, 1, 1.0)
    sampler = RaySampler(100, {"body": 0.6, "errors": 0.4}, 0, 4, "black", error_map)
    assert sampler.share(2).error_map is error_map
    error_map.observe(store, torch.arange(len(store.color)), torch.zeros(len(store.color)))
    error_map.observe(store, torch.tensor([279]), torch.tensor([1.0]))
    error_map.after_step(1)
    batch = sampler.draw(store)
    assert len(batch.rays) == 100 and {tile_by_hand(int(pixel)) for pixel in batch.pixels[60:]} == {19}
    moved = batch.to("cpu")
    assert torch.equal(moved.pixels, batch.pixels) and torch.equal(moved.rays.rays_d, batch.rays.rays_d)


def test_without_a_share_there_is_no_map(store: PixelStore):
    assert RaySampler(10, {"body": 1.0, "errors": 0.0}, 0, 4, "black", ErrorMap(4, 1, 1.0)).error_map is None
    with pytest.raises(UserError, match=r"shares\.errors needs data\.ray_sampler\.error_map"):
        RaySampler(10, {"body": 1.0, "errors": 0.5}, 0, 4, "black")


def test_it_goes_on_from_a_saved_state(store: PixelStore):
    one, other = (ErrorMap(SIDE, 2, 0.5) for _ in range(2))
    errors = torch.rand(len(store.color), generator=torch.Generator().manual_seed(0))
    one.observe(store, torch.arange(len(store.color)), errors)
    one.after_step(2)
    one.observe(store, torch.arange(100), errors[:100])
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    draws = []
    for each in (one, other):
        torch.manual_seed(0)
        draws.append(each.draw(store, 50))
        each.after_step(4)
        draws.append(each.draw(store, 50))
    assert torch.equal(draws[0], draws[2]) and torch.equal(draws[1], draws[3])
