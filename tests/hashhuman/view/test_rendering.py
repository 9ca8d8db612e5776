"""Pictures grow, are whole in the end, and are made in pieces."""

import numpy as np
import pytest
import torch

from hashhuman.body.visibility import world_vertices
from hashhuman.view.rendering import RenderRequest
from tests import toy
from tests.hashhuman.view.conftest import PartedAvatar, progressive


class Clock:
    """Time that passes only while rays are rendered."""

    def __init__(self, rays_per_second: float) -> None:
        self.time, self.rays_per_second = 0.0, rays_per_second

    def __call__(self) -> float:
        return self.time


class TimedAvatar(PartedAvatar):
    """Renders at the clock's rate, and counts."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.sizes = clock, []

    def _render(self, camera, pose, background):
        self.sizes.append((camera.height, camera.width))
        self.clock.time += camera.height * camera.width / self.clock.rays_per_second
        return super()._render(camera, pose, background)


def view(size: int = 96) -> RenderRequest:
    pose = toy.pose(1)
    return RenderRequest(toy.camera(0, size), pose, None, world_vertices(toy.template(), pose))


def made(rate: float, size: int = 96, **changes):
    clock = Clock(rate)
    avatar = TimedAvatar(clock)
    render = progressive(now=clock, **changes)
    render.rate = rate
    return list(render(avatar, view(size))), avatar, render


def test_the_last_picture_is_the_whole_one_and_the_same_as_in_one_piece():
    found, _, _ = made(2e4)
    pictures = [picture for picture in found if picture is not None]
    assert [picture.final for picture in pictures] == [False] * (len(pictures) - 1) + [True]
    sizes = [picture.camera.width for picture in pictures]
    assert sizes == sorted(sizes) and sizes[0] < 48 and sizes[-1] == 96
    truth = PartedAvatar().render_image(view().camera, view().pose, None, 1.0)
    for name in ("rgb", "alpha", "depth"):
        assert torch.equal(getattr(pictures[-1].image, name), getattr(truth, name)), name


def test_pieces_take_no_longer_than_they_may():
    found, avatar, _ = made(2e4, piece_s=0.02)
    assert found.count(None) > 2
    assert max(height * width for height, width in avatar.sizes) <= 0.02 * 2e4 + 96  # a row more at most


def test_a_fast_machine_renders_the_whole_picture_at_once():
    found, avatar, render = made(1e6)
    assert avatar.sizes == [(96, 96)] and len(found) == 1 and found[0].final
    assert render.immediate(96, 96, avatar.device) and not made(2e4)[2].immediate(96, 96, avatar.device)


def test_a_large_canvas_gets_a_smaller_picture():
    found, _, _ = made(1e6, size=300)
    assert found[-1].camera.width == 96 and found[-1].final


def test_the_rate_is_measured():
    clock = Clock(3e4)
    render = progressive(now=clock)
    list(render(TimedAvatar(clock), view()))
    assert render.rate == pytest.approx(3e4, rel=1e-3)


def test_a_body_out_of_sight_is_an_empty_picture():
    far = RenderRequest(view().camera, view().pose, None, view().body + 100.0)
    clock = Clock(1e3)
    found = [picture for picture in progressive(now=clock)(TimedAvatar(clock), far) if picture is not None]
    assert found[-1].final and np.all(found[-1].image.rgb.numpy() == 1) and not found[-1].image.alpha.any()
