"""Pictures that are rendered in loops on the CPU against those of plain PyTorch."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from hashhuman.avatar.loop_images import LoopImages
from hashhuman.geometry.rays import camera_rays
from tests import toy
from tests.hashhuman.avatar.test_images import CAMERA, made


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    """PSNR in dB."""
    return float(-10 * torch.log10((a - b).square().mean()))


@pytest.fixture(params=[1, 3])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """PyTorch's number of threads within a test."""
    usual = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(usual)


@pytest.mark.parametrize(("chunk", "per_round"), [(8192, 15), (100, 1)])
def test_the_same_picture(chunk: int, per_round: int, n_threads: int):
    plain, fast = made("torch"), made("numba")
    assert isinstance(fast.images, LoopImages)
    fast.images.chunk, fast.images.per_round = chunk, per_round
    expected = plain.render_image(CAMERA, toy.pose(1), 1, background=0.3)
    image = fast.render_image(CAMERA, toy.pose(1), 1, background=0.3)
    assert 0.05 < (expected.alpha > 0.5).float().mean() < 0.9
    assert error(image.rgb, expected.rgb) > 60
    for name in ("alpha", "depth"):
        here, there = getattr(image, name), getattr(expected, name)
        torch.testing.assert_close(here, there, atol=1e-2, rtol=0)  # of what lies behind an opaque surface
        assert error(here, there) > 60
    assert torch.get_num_threads() == n_threads


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
    """Rays without samples are not rendered; open ones go on where they stopped, and all samples have their turn."""
    avatar, rendered = made("numba"), []
    render = avatar.render_visible

    def noted(rays, scene, samples):
        directions = rays.rays_d[samples.ray]
        rendered.append(torch.cat([directions, samples.t[:, None]], 1))
        assert (samples.start.diff() > 0).all()
        return render(rays, scene, samples)

    monkeypatch.setattr(avatar, "render_visible", noted)
    avatar.field.density_scale = 0.0  # so that all rays stay open
    avatar.loop_images.per_round, avatar.loop_images.chunk = 7, 1 << 20
    avatar.render_image(CAMERA, toy.pose(1))
    rays = camera_rays(CAMERA, avatar.device)
    samples = avatar.render_rays(rays, avatar.scene([toy.pose(1)], [-1])).rendering.samples
    expected = torch.cat([rays.rays_d[samples.ray], samples.t[:, None]], 1)
    found = torch.cat(rendered)
    assert len(rendered) > 4 and len(found) == len(expected)
    torch.testing.assert_close(*(rows.unique(dim=0) for rows in (found, expected)), atol=0, rtol=0)


def test_opaque_rays_are_not_followed(monkeypatch: pytest.MonkeyPatch):
    avatar, counts = made("numba"), []
    render = avatar.render_visible

    def noted(rays, scene, samples):
        counts.append(len(samples.t))
        return render(rays, scene, samples)

    monkeypatch.setattr(avatar, "render_visible", noted)
    avatar.loop_images.per_round = 2
    open_and_opaque = []
    for scale in (0.0, 1e6):
        avatar.field.density_scale = scale
        counts.clear()
        avatar.render_image(CAMERA, toy.pose(1))
        open_and_opaque.append(sum(counts))
    assert 0 < open_and_opaque[1] < 0.5 * open_and_opaque[0]
