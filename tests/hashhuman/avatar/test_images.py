"""Pictures with fixed capacities and from CUDA graphs against eagerly rendered ones."""

import dataclasses
import functools

import pytest
import torch

from hashhuman.avatar.graph_images import GraphImages, posing_capacity, viewing_capacities
from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.model import HashGridAvatar
from hashhuman.gpu.part_rows import GRANULE
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

CAMERA = toy.camera(0).scaled(0.25)


def made(kernels: str) -> HashGridAvatar:
    """An avatar that is dense enough to be visible and partly empty; the same one at each call."""
    neighbors = functools.partial(GridNeighbors, voxel=0.08, reach=0.28, kernels=kernels)
    avatar = small.avatar(reach=0.2, kernels=kernels, neighbors=neighbors)
    avatar.field.density_scale, avatar.shell_voxel = 30.0, 0.1
    torch.nn.init.normal_(avatar.field.encoder.table, std=0.3, generator=torch.Generator().manual_seed(0))
    avatar.occupancy.marked.bernoulli_(0.8, generator=torch.Generator().manual_seed(1))
    return avatar.eval()


def same(mine: RenderedImage, theirs: RenderedImage) -> None:
    assert theirs.alpha.max() > 0.5
    for name in ("rgb", "alpha", "depth"):
        here, there = getattr(mine, name).cpu(), getattr(theirs, name).cpu()
        torch.testing.assert_close(here, there, atol=1e-3, rtol=0)


@torch.no_grad()
def test_a_capacity_changes_nothing(device: torch.device):
    """Posing and rendering with Triton's kernels in capacities planned from the needed sizes, as in a capture."""
    plain, fast = made("torch").to(device), made("triton").to(device)
    scene, posing = plain.measured_scene([toy.pose(1)], [1])
    image, viewing = plain.eager_images.picture(CAMERA, scene)
    fixed, needed = fast.measured_scene([toy.pose(1)], [1], posing_capacity(posing.tolist()))
    assert torch.equal(needed, posing)
    x, y, z = scene.index.shell.occupied.shape[1:]
    assert torch.equal(fixed.index.shell.occupied[:, :x, :y, :z], scene.index.shell.occupied)
    assert fixed.index.shell.occupied.sum() == scene.index.shell.occupied.sum()
    again, needed = fast.eager_images.picture(CAMERA, fixed, viewing_capacities(viewing.flatten().tolist()))
    same(again, image)
    assert torch.equal(needed, viewing)


def test_capacities_hold_what_was_needed_with_slack():
    posing, viewing = [1000, 30, 40, 50, 7000, 100, 0, 300], [5000, 10, 20, 30, 600, 1, 2, 3]
    capacity, (front, back) = posing_capacity(posing), viewing_capacities(viewing)
    for needed, sizes, slack in ((posing, capacity.sizes(), 1.3), (viewing, [*front.sizes(), *back.sizes()], 2.0)):
        assert len(sizes) == len(needed)
        assert all(n < m <= slack * n + 2 * GRANULE for n, m in zip(needed, sizes))
    assert (
        capacity.shell == (39, 52, 65) and capacity.voxels == 9100 and front.samples >= 10000 and back.samples >= 1200
    )
    assert (
        all(n % GRANULE == 0 for rows in (capacity.rows, front.rows, back.rows) for n in rows) and len(back.rows) == 3
    )


def test_pictures_are_rendered_one_after_another():
    avatar = made("torch")
    assert isinstance(avatar.images, EagerImages)
    cameras = [CAMERA, toy.camera(1).scaled(0.25)]
    both = list(avatar.render_images(cameras, toy.pose(1), 1, background=0.5))
    for camera, image in zip(cameras, both):
        same(image, avatar.render_image(camera, toy.pose(1), 1, background=0.5))
    assert (both[0].rgb - both[1].rgb).abs().max() > 0.05


@pytest.mark.gpu
def test_captured_pictures_equal_eager_pictures():
    """Also after a change of the pose, the camera, its size, the capacity, the field or the occupancy."""
    captured, eager = made("triton").cuda(), made("triton").cuda()
    images = captured.graph_images
    assert captured.images is images and isinstance(images, GraphImages)
    eager.graph_images = eager.eager_images  # type: ignore[assignment]
    near = CAMERA
    far = dataclasses.replace(near, T=near.T + torch.tensor([0.0, 0.0, 6.0]))
    replayed = 0
    views = [(far, 0), (far, 1), (far, 0), (near, 0), (near, 1), (near, 2), (toy.camera(1).scaled(0.25), 2), (near, 2)]
    views += [(CAMERA.scaled(2.0), 0)] * 3
    for i, (camera, frame) in enumerate(views):
        if i == 6:
            for avatar in (captured, eager):
                with torch.no_grad():
                    avatar.field.encoder.table.mul_(-1)
                avatar.occupancy.marked.bernoulli_(0.5, generator=torch.Generator("cuda").manual_seed(2))
        before = images.viewing and images.viewing.captured
        same(captured.render_image(camera, toy.pose(frame), frame), eager.render_image(camera, toy.pose(frame), frame))
        replayed += before is not None and images.viewing is not None and images.viewing.captured is before
    assert replayed >= 4
    # Two alternating sequences keep their own poses.
    pairs = zip(*(captured.render_images([near] * 3, toy.pose(frame), frame) for frame in (0, 2)))
    expected = [eager.render_image(near, toy.pose(frame), frame) for frame in (0, 2)]
    for pair in pairs:
        for mine, theirs in zip(pair, expected):
            same(mine, theirs)
