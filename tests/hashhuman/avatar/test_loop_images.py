"""Pictures that are rendered in loops on the CPU against those of plain PyTorch."""

import dataclasses

import pytest
import torch

from hashhuman.avatar.loop_images import LoopImages
from hashhuman.geometry.rays import camera_rays
from tests import toy
from tests.hashhuman.avatar.test_images import CAMERA, made


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    """PSNR in dB."""
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.mark.parametrize(("chunk", "bins"), [(8192, 5), (100, 1)])
def test_the_same_picture(chunk: int, bins: int):
    plain, fast = made("torch"), made("numba")
    assert isinstance(fast.images, LoopImages)
    fast.images.chunk, fast.images.bins = chunk, bins
    expected = plain.render_image(CAMERA, toy.pose(1), 1, background=0.3)
    image = fast.render_image(CAMERA, toy.pose(1), 1, background=0.3)
    assert 0.05 < (expected.alpha > 0.5).float().mean() < 0.9
    assert error(image.rgb, expected.rgb) > 60
    for name in ("alpha", "depth"):
        here, there = getattr(image, name), getattr(expected, name)
        torch.testing.assert_close(here, there, atol=1e-2, rtol=0)  # of what lies behind an opaque surface
        assert error(here, there) > 60


def test_a_camera_that_looks_elsewhere_sees_nothing():
    away = dataclasses.replace(CAMERA, T=CAMERA.T + torch.tensor([100.0, 0.0, 0.0]))
    image = made("numba").render_image(away, toy.pose(1), background=0.25)
    assert (image.rgb == 0.25).all() and (image.alpha == 0).all() and (image.depth == 0).all()


def test_an_empty_field():
    avatar = made("numba")
    avatar.field.density_scale = 0.0
    image = avatar.render_image(CAMERA, toy.pose(1))
    assert (image.rgb == 0).all() and (image.alpha == 0).all() and image.depth.isfinite().all()


def test_every_sample_is_rendered_once(monkeypatch: pytest.MonkeyPatch):
    """Rays without samples are not rendered; open ones go on where they stopped, and all bins have their turn."""
    avatar, asked = made("numba"), []
    render = avatar.render_visible

    def noted(rays, scene, bins):
        asked.append((len(rays), bins))
        return render(rays, scene, bins)

    monkeypatch.setattr(avatar, "render_visible", noted)
    avatar.field.density_scale = 0.0  # so that all rays stay open
    avatar.loop_images.bins = 2
    avatar.render_image(CAMERA, toy.pose(1))
    scene = avatar.scene([toy.pose(1)], [-1])
    outputs = avatar.render_rays(camera_rays(CAMERA, avatar.device), scene)
    bins = outputs.rendering.samples.start.diff() // avatar.sampler.per_bin
    expected = [int((bins >= max(1, 2 * i)).sum()) for i in range(int(bins.max() + 1) // 2)]
    counts = [count for count, _ in asked]
    assert len(expected) > 4 and counts[: len(expected)] == expected
    assert sum(counts[len(expected) :]) <= 2 * counts[len(expected) - 1]  # to find out that nothing is left
    assert [first for _, (first, _) in asked] == list(range(0, 2 * len(asked), 2))
