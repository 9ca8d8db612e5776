"""The rays of a training step."""

import numpy as np
import pytest
import torch

from hashhuman.data.pixels import PixelStore, TrainingPicture
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera

HEIGHT, WIDTH = 14, 20
SHARES = {"body": 0.7, "surround": 0.3, "box": 0.0, "parts": 0.0}


def build(parts: bool = True, height: int = HEIGHT, width: int = WIDTH) -> PixelStore:
    """Two pictures in which every pixel has its own colour; coverage falls off at the person's right."""
    pictures = []
    for k in range(2):
        y, x = np.mgrid[:height, :width]
        color = np.stack([x, y, np.full_like(x, 100 * k)], -1).astype(np.uint8)
        mask = np.where((y > 2) & (y < height - 1) & (x > 3) & (x < width - 5), 255, 0).astype(np.uint8)
        mask[mask[:, width - 6] > 0, width - 6] = 128
        labels = np.where(mask > 0, (x > 5).astype(np.uint8), 255).astype(np.uint8)
        K = torch.tensor([[20.0, 0.0, width / 2], [0.0, 20.0, height / 2], [0.0, 0.0, 1.0]])
        camera = Camera(K, torch.eye(3), torch.tensor([0.0, 0.0, 3.0]), height, width)
        pictures.append(TrainingPicture(color, mask, camera, k, torch.zeros(1, 3), labels if parts else None))
    return PixelStore.build(pictures, 5.0, "cpu")  # so large that the crops are the whole pictures


@pytest.fixture(scope="module")
def store() -> PixelStore:
    return build()


def sampler(**changes) -> RaySampler:
    options = {"n_rays": 100, "shares": SHARES, "n_patches": 0, "patch_size": 5, "background": "random"}
    return RaySampler(**(options | changes))


def pixels_of(store: PixelStore, batch) -> torch.Tensor:
    """Positions in the store of a batch's rays, found by their directions and frames."""
    everything = store.rays(torch.arange(len(store.color)))
    distance = torch.cdist(batch.rays.rays_d, everything.rays_d)
    distance[batch.rays.frames[:, None] != everything.frames] = torch.inf
    assert distance.amin(1).max() < 1e-3
    return distance.argmin(1)


def test_rays_come_from_their_pools_by_their_shares(store):
    pixels = sampler().single_pixels(store)
    assert len(pixels) == 100
    assert torch.isin(pixels[:70], store.pools["body"]).all()
    assert torch.isin(pixels[70:], store.pools["surround"]).all()
    everywhere = sampler(n_rays=5000, shares={"box": 1.0}).single_pixels(store)
    assert len(everywhere.unique()) > 0.99 * len(store.color)


def test_small_parts_get_as_many_rays(store):
    pixels = sampler(shares={"parts": 0.5, "box": 0.5}).single_pixels(store)
    few, many = store.pools["part 0"], store.pools["part 1"]
    assert len(few) < len(many) / 2
    assert torch.isin(pixels[:25], few).all() and torch.isin(pixels[25:50], many).all()


def test_colours_lie_over_the_background(store):
    torch.manual_seed(0)
    batch = sampler(n_rays=400).draw(store)
    pixels = pixels_of(store, batch)
    assert batch.patch is None and len(batch.rays) == 400
    torch.testing.assert_close(batch.mask, store.mask[pixels].float() / 255)
    expected = store.color[pixels] / 255 + (1 - batch.mask[:, None]) * batch.background
    torch.testing.assert_close(batch.color, expected)
    empty, half = batch.mask == 0, (batch.mask > 0) & (batch.mask < 1)
    assert empty.any() and half.any() and not empty.all()


def test_backgrounds(store):
    torch.manual_seed(0)
    random = sampler(n_patches=2).draw(store).background
    patches = random[:50].unflatten(0, (2, 25))
    assert (patches == patches[:, :1]).all() and (patches[0, 0] != patches[1, 0]).all()  # one a patch
    assert len(random[50:].unique(dim=0)) == 100  # one a ray
    assert random.min() >= 0 and random.max() <= 1 and abs(random[50:].mean() - 0.5) < 0.1
    assert not sampler(n_patches=2, background="black").draw(store).background.any()


def test_patches_are_windows_of_a_picture_around_the_body(store):
    torch.manual_seed(0)
    batch = sampler(n_patches=30, patch_size=5, background="black").draw(store)
    assert batch.patch == (30, 5, 5) and len(batch.rays) == 30 * 25 + 100
    colors = (batch.color[: 30 * 25] * 255).round().int().unflatten(0, (30, 5, 5))
    x, y, picture = colors.unbind(-1)
    assert (x == x[:, :1, :1] + torch.arange(5)).all()
    assert (y == y[:, :1, :1] + torch.arange(5)[:, None]).all()
    assert (picture == picture[:, :1, :1]).all() and picture.unique().tolist() == [0, 100]
    assert (batch.rays.frames[: 30 * 25].view(30, 25) * 100 == picture.flatten(1)).all()
    centre = batch.mask[: 30 * 25].view(30, 5, 5)[:, 2, 2]  # moved inside where the crop ends
    assert (centre > 0).float().mean() > 0.6
    assert (batch.mask[: 30 * 25].view(30, 25) > 0).any(1).all()


def test_patches_are_drawn_if_asked_for(store):
    batch = sampler(n_patches=3).draw(store, patches=False)
    assert batch.patch is None and len(batch.rays) == len(batch.background) == 100
    assert len(batch.background.unique(dim=0)) == 100


def test_patches_larger_than_a_crop_repeat_its_border():
    store = build(height=8, width=12)
    windows = sampler(n_patches=4, patch_size=10).patch_pixels(store)
    colors = store.color[windows].int()
    assert windows.shape == (4, 10, 10)
    assert (colors[:, :, :, 1].diff(dim=1)[:, :7] == 1).all() and (colors[:, 7:, :, 1] == 7).all()  # eight rows
    assert (colors[:, :, :, 0].diff(dim=2) == 1).all()


def test_the_seed_decides(store):
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(sampler().draw(store))
    assert torch.equal(draws[0].color, draws[1].color) and not torch.equal(draws[0].color, draws[2].color)


def test_pools_that_do_not_exist(store):
    with pytest.raises(UserError, match=r"no pool 'bodies' among \['body', 'box', 'part 0'"):
        sampler(shares={"bodies": 1.0}).draw(store)
    with pytest.raises(UserError, match=r"needs part labels, and this subject has no schp/"):
        sampler(shares={"parts": 1.0}).draw(build(parts=False))


def test_batches_move(store):
    batch = sampler(n_patches=1).draw(store)
    moved = batch.to("cpu")
    assert moved.patch == batch.patch and torch.equal(moved.rays.frames, batch.rays.frames)
    assert torch.equal(moved.color, batch.color) and torch.equal(moved.background, batch.background)


def test_at_least_one_share():
    with pytest.raises(UserError, match="shares are all 0"):
        sampler(shares=dict.fromkeys(SHARES, 0.0))
