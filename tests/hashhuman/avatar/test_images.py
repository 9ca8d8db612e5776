"""Pictures of fixed capacities, and those of CUDA graphs, against those rendered launch by launch."""

import dataclasses
import functools

import pytest
import torch

from hashhuman.avatar.graph_images import GraphImages, index_capacity, view_capacities
from hashhuman.avatar.images import EagerImages, RenderedImage
from hashhuman.avatar.model import Avatar
from hashhuman.gpu.part_rows import GRANULE
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

CAMERA = toy.camera(0).scaled(0.25)


def made(kernels: str) -> Avatar:
    """Dense enough to be seen; the same one each time. Some of it is empty."""
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
def test_capacity_changes_nothing(device: torch.device):
    """Posing and rendering in capacities planned from their own needs, with Triton's kernels, as they are captured."""
    plain, fast = made("torch").to(device), made("triton").to(device)
    stage, of_stage = plain.measured_stage([toy.pose(1)], [1])
    image, of_view = plain.eager_images.picture(CAMERA, stage)
    fixed, needed = fast.measured_stage([toy.pose(1)], [1], index_capacity(of_stage.tolist()))
    assert torch.equal(needed, of_stage)
    x, y, z = stage.shell.occupied.shape[1:]
    assert torch.equal(fixed.shell.occupied[:, :x, :y, :z], stage.shell.occupied)
    assert fixed.shell.occupied.sum() == stage.shell.occupied.sum()
    again, needed = fast.eager_images.picture(CAMERA, fixed, view_capacities(of_view.flatten().tolist()))
    same(again, image)
    assert torch.equal(needed, of_view)


def test_capacity_holds_what_was_needed_and_some_more():
    posing, viewing = [1000, 30, 40, 50, 7000, 100, 0, 300], [5000, 10, 20, 30, 600, 1, 2, 3]
    capacity, (front, back) = index_capacity(posing), view_capacities(viewing)
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
def test_captured_pictures_are_the_same_pictures():
    """Also where the pose, the camera, its size, the capacity, the field or the occupancy changes."""
    recorded, eager = made("triton").cuda(), made("triton").cuda()
    images = recorded.graph_images
    assert recorded.images is images and isinstance(images, GraphImages)
    eager.graph_images = eager.eager_images  # type: ignore[assignment]
    near = CAMERA
    far = dataclasses.replace(near, T=near.T + torch.tensor([0.0, 0.0, 6.0]))
    replayed = 0
    views = [(far, 0), (far, 1), (far, 0), (near, 0), (near, 1), (near, 2), (toy.camera(1).scaled(0.25), 2), (near, 2)]
    views += [(CAMERA.scaled(2.0), 0)] * 3
    for i, (camera, frame) in enumerate(views):
        if i == 6:
            for avatar in (recorded, eager):
                with torch.no_grad():
                    avatar.field.encoder.table.mul_(-1)
                avatar.occupancy.marked.bernoulli_(0.5, generator=torch.Generator("cuda").manual_seed(2))
        before = images.viewing and images.viewing.recorded
        same(recorded.render_image(camera, toy.pose(frame), frame), eager.render_image(camera, toy.pose(frame), frame))
        replayed += before is not None and images.viewing is not None and images.viewing.recorded is before
    assert replayed >= 4
    # Two sequences in turn do not take each other's pose.
    pairs = zip(*(recorded.render_images([near] * 3, toy.pose(frame), frame) for frame in (0, 2)))
    expected = [eager.render_image(near, toy.pose(frame), frame) for frame in (0, 2)]
    for pair in pairs:
        for mine, theirs in zip(pair, expected):
            same(mine, theirs)
