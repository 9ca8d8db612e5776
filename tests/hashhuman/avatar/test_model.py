"""The avatar: rendering of posed bodies, whatever finds their neighbours."""

import copy
import dataclasses
import functools

import pytest
import torch

from hashhuman.avatar.images import OPAQUE, camera_rays
from hashhuman.avatar.model import Avatar
from hashhuman.avatar.search_index import Stage
from hashhuman.body.template import BodyPose
from hashhuman.deformer.residual import UVTimeResidual
from hashhuman.encoder import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.geometry import skinning
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.part_rows import padded
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.renderer.volume import Rays
from hashhuman.training.losses import mean_length
from tests import toy
from tests.hashhuman import small

# The toy has points at its corners only: it is solid when everything within 20 cm of them counts.
REACH = 0.2


def made(**changes) -> Avatar:
    """An avatar of random colours, dense enough to be seen; the same one each time."""
    avatar = small.avatar(reach=REACH, **changes)
    avatar.field.density_scale = 30.0
    torch.nn.init.normal_(avatar.field.encoder.table, std=0.3, generator=torch.Generator().manual_seed(0))
    return avatar


def without_head(**changes) -> Avatar:
    """Another one, whose head is nothing but air."""
    avatar = made(**changes)
    with torch.no_grad():
        avatar.field.density_network.last[1][list(toy.PARTS).index("head"), 0, 0] = -20
    return avatar


def uv_residual() -> UVTimeResidual:
    residual = UVTimeResidual(3, TorchHashGrids, TorchMLPs, HashGridSpec(2, 2, 8, 4, 1.5), 8, 0.05, 0.02)
    generator = torch.Generator().manual_seed(0)
    for parameter in residual.parameters():  # untrained, it displaces nothing
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return residual


def some_rays(step: int) -> Rays:
    """Of a picture, of three frames in turn."""
    y, x = torch.meshgrid(torch.arange(0, 48, step), torch.arange(0, 48, step), indexing="ij")
    origins, directions = toy.camera(0).rays(torch.stack([x, y], -1).flatten(0, 1).float())
    return Rays(origins.clone(), directions, torch.arange(len(origins)) % 3)


def three_bodies(avatar: Avatar) -> Stage:
    return avatar.stage([toy.pose(frame) for frame in range(3)], [0, 1, 2])


def test_a_picture_shows_the_body_and_nothing_else():
    image = made().render_image(toy.camera(0), toy.pose(0), 0)
    assert image.rgb.shape == (48, 48, 3) and image.alpha.shape == image.depth.shape == (48, 48)
    face = toy.cast(toy.world_vertices(toy.template(), 0), toy.template().faces, toy.camera(0))
    head = torch.from_numpy(face // 12 == toy.JOINT_NAMES.index("head")) & torch.from_numpy(face >= 0)
    assert head.sum() > 5 and image.alpha[head].min() > 0.9
    empty = image.alpha == 0
    assert empty[0].all() and empty[:, 0].all() and 0.2 < empty.float().mean() < 0.9
    assert (image.rgb[empty] == 0).all() and (image.depth[empty] == 0).all()
    assert (image.rgb >= 0).all() and (image.rgb <= 1).all() and image.alpha.max() <= 1 + 1e-6
    # The head's front lies about a depth of 3 m: camera 0 stands 3 m from the origin of the pose.
    assert (image.depth[head] - 3).abs().max() < 0.5


def test_pictures_are_made_of_rays():
    avatar, camera = made(), toy.camera(1)
    image = avatar.render_image(camera, toy.pose(2), 2)
    stage = avatar.stage([toy.pose(2), toy.pose(2)], [0, 2])
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    origins, directions = camera.rays(torch.stack([x, y], -1).flatten(0, 1).float())
    rays = Rays(origins.clone(), directions, torch.ones(48 * 48, dtype=torch.long))
    with torch.no_grad():
        rendering, residual, needed = avatar(rays, stage)
    assert residual is None and needed.samples == len(rendering.weights) and needed.rows.sum() > 1000
    # Of rays that end early, pictures leave out what is behind.
    ends = image.alpha.flatten() >= OPAQUE
    assert 0 < ends.sum() < (image.alpha > 0).sum()
    for through, tolerance in ((~ends, 1e-5), (ends, 1 - OPAQUE + 1e-5)):
        mine, theirs = image.rgb.flatten(0, 1)[through], rendering.color[through]
        torch.testing.assert_close(mine, theirs, atol=tolerance, rtol=1e-4)
        torch.testing.assert_close(image.alpha.flatten()[through], rendering.alpha[through], atol=tolerance, rtol=1e-4)
    seen = rendering.alpha > 1e-3
    torch.testing.assert_close(
        image.depth.flatten()[seen], (rendering.depth / rendering.alpha)[seen], atol=2e-3, rtol=1e-4
    )


def test_chunks_change_nothing():
    whole, pieces = made(chunk=10**9), made(chunk=3000)
    pictures = [avatar.render_image(toy.camera(0), toy.pose(1), 1) for avatar in (whole, pieces)]
    torch.testing.assert_close(pictures[0].rgb, pictures[1].rgb)
    torch.testing.assert_close(pictures[0].depth, pictures[1].depth)


def test_backgrounds():
    avatar = made()
    black = avatar.render_image(toy.camera(0), toy.pose(0))
    for background in (0.5, torch.tensor([1.0, 0.0, 0.5])):
        image = avatar.render_image(toy.camera(0), toy.pose(0), background=background)
        torch.testing.assert_close(image.rgb, black.rgb + (1 - black.alpha[..., None]) * background)
        torch.testing.assert_close(image.alpha, black.alpha)


def test_pictures_of_any_size():
    view = dataclasses.replace(toy.camera(0).scaled(0.4), height=7)
    image = made().render_image(view, toy.pose(0))
    assert image.rgb.shape == (7, 19, 3)
    behind = dataclasses.replace(view, R=toy.camera(0).R * torch.tensor([[-1.0], [1.0], [-1.0]]), T=-toy.camera(0).T)
    assert made().render_image(behind, toy.pose(0)).alpha.max() == 0  # the camera looks away


@pytest.mark.parametrize("residual", [False, True])
def test_searches_agree_in_values_and_gradients(residual: bool):
    rays = some_rays(3)
    results = []
    displacement = uv_residual() if residual else None
    for options in ({}, {"neighbors": functools.partial(BruteNeighbors, k=8)}):
        avatar = made(residual=copy.deepcopy(displacement), **options)
        avatar.eval()
        rendering, displaced, _ = avatar(rays, three_bodies(avatar))
        assert (displaced is None) == (not residual)
        (rendering.color.square().sum() + rendering.alpha.square().sum()).backward()
        results.append((rendering, dict(avatar.named_parameters())))
    (fast, mine), (slow, theirs) = results
    assert (slow.alpha > 0.5).sum() > 20
    torch.testing.assert_close(fast.color, slow.color, atol=2e-3, rtol=0)
    torch.testing.assert_close(fast.alpha, slow.alpha, atol=2e-3, rtol=0)
    for name, parameter in mine.items():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
        scale = theirs[name].grad.abs().max()
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=0.02 * float(scale) + 1e-9, rtol=0)


def moved(pose: BodyPose, camera, turn: torch.Tensor, shift: torch.Tensor):
    """The same pose and camera in a world that is turned and shifted."""
    angle = turn.norm()
    half = pose.Rh.norm()

    def quaternion(axis_angle: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        return torch.cat([(size / 2).cos()[None], (size / 2).sin() * axis_angle / size.clamp_min(1e-9)])

    (a, *u), (b, *v) = quaternion(turn, angle), quaternion(pose.Rh, half)
    u, v = torch.stack(u), torch.stack(v)
    w, xyz = a * b - u @ v, a * v + b * u + torch.linalg.cross(u, v)
    Rh = 2 * torch.atan2(xyz.norm(), w) * xyz / xyz.norm()
    world = skinning.axis_angle_to_matrix(turn)
    R = camera.R @ world.T
    return (
        dataclasses.replace(pose, Rh=Rh, Th=world @ pose.Th + shift),
        dataclasses.replace(camera, R=R, T=camera.T - R @ shift),
    )


def test_only_the_relation_of_body_and_camera_matters():
    avatar, turn, shift = made(), torch.tensor([0.3, 1.1, -0.4]), torch.tensor([1.0, -2.0, 0.5])
    here = avatar.render_image(toy.camera(0), toy.pose(2))
    pose, camera = moved(toy.pose(2), toy.camera(0), torch.tensor([1e-7, 0.0, 0.0]), shift)
    shifted = avatar.render_image(camera, pose)
    torch.testing.assert_close(shifted.rgb, here.rgb, atol=2e-3, rtol=0)
    pose, camera = moved(toy.pose(2), toy.camera(0), turn, shift)
    turned = avatar.render_image(camera, pose)
    torch.testing.assert_close(turned.alpha, here.alpha, atol=2e-3, rtol=0)
    torch.testing.assert_close(turned.depth, here.depth, atol=1e-2, rtol=0)
    # The light stands in the world, so that colours may change; they do not when it turns along.
    assert (turned.rgb - here.rgb).abs().max() > 2e-3


def test_what_was_learned_per_frame_is_used_for_that_frame():
    avatar = made()
    with torch.no_grad():
        avatar.field.conditions[1].codes.weight.copy_(torch.tensor([[9.0, -9.0], [0.0, 0.0], [-9.0, 9.0]]))
    first, unseen, again = (avatar.render_image(toy.camera(0), toy.pose(0), frame).rgb for frame in (0, None, 1))
    assert (first - unseen).abs().max() > 0.01
    torch.testing.assert_close(unseen, again)  # the mean of the codes is zero, as the second is


def test_unseen_poses_are_not_displaced():
    displaced, plain = made(residual=uv_residual()).eval(), made()
    seen, unseen = (displaced.render_image(toy.camera(0), toy.pose(0), frame) for frame in (0, None))
    torch.testing.assert_close(unseen.rgb, plain.render_image(toy.camera(0), toy.pose(0)).rgb)
    assert (seen.rgb - unseen.rgb).abs().max() > 1e-4


def test_stages_for_pictures_and_for_training_have_the_same_shell():
    avatar = made()
    avatar.occupancy.marked.bernoulli_(0.3, generator=torch.Generator().manual_seed(0))
    poses = [toy.pose(0), toy.pose(1)]
    everything, linked, plain = made().stage(poses), avatar.linked_stage(poses), avatar.stage(poses)
    assert torch.equal(linked.shell.occupied, plain.shell.occupied)
    assert 0 < plain.shell.occupied.sum() < everything.shell.occupied.sum()


def test_stages_default_to_poses_of_their_own():
    stage = made().stage([toy.pose(0), toy.pose(1)])
    assert stage.bodies.time.tolist() == [-1, -1] and len(stage.shell.origin) == 2


def test_what_is_empty_is_no_longer_sampled():
    avatar = without_head()
    pictures, samples = [], []
    stage, rays = avatar.linked_stage([toy.pose(0)]), camera_rays(toy.camera(0), avatar.device)
    torch.manual_seed(0)
    for _ in range(2):
        pictures.append(avatar.render_image(toy.camera(0), toy.pose(0)))
        samples.append(int(avatar.sampler(rays, stage.bodies, stage.shell, jitter=False).needed))
        avatar.prune(stage)
    assert samples[1] < 0.95 * samples[0]
    # The body is dense up to its reach here, where a voxel's centre may belong to the head alone and a corner does not.
    change = (pictures[1].rgb - pictures[0].rgb).abs().amax(-1)
    assert (change > 1e-3).float().mean() < 0.01 and change.max() < 0.1
    assert (pictures[0].alpha > 0.5).sum() > 20
    later = avatar.stage([toy.pose(1)])  # what has been learned of canonical space holds for poses to come
    head = list(toy.PARTS).index("head")
    assert not later.canonical.marked.view(5, -1)[head].all() and later.canonical.marked.any()
    assert later.shell.occupied.sum() < made().stage([toy.pose(1)]).shell.occupied.sum()


def test_when_all_is_empty_nothing_is_seen():
    avatar = made()
    stage = avatar.linked_stage([toy.pose(0)])
    avatar.occupancy.marked.zero_()
    stage.prune()
    assert not stage.shell.occupied.any() and not avatar.stage([toy.pose(0)]).shell.occupied.any()
    image = avatar.render_image(toy.camera(0), toy.pose(0), background=0.25)
    assert (image.alpha == 0).all() and (image.rgb == 0.25).all() and (image.depth == 0).all()


def graded(avatar: Avatar, stage: Stage, rays: Rays, capacity: RayCapacity | None = None):
    """What the avatar renders, the capacity that it needed, and the gradients of all its parameters."""
    avatar.zero_grad()
    rendering, residual, needed = avatar(rays, stage, capacity=capacity)
    generator = torch.Generator().manual_seed(5)
    outputs = rendering.color, rendering.alpha, rendering.depth
    loss = sum((torch.rand(x.shape, generator=generator).to(x.device) * x).sum() for x in outputs)
    if residual is not None:
        loss = loss + mean_length(residual.value, residual)
    loss.backward()
    return rendering, needed, {name: parameter.grad.clone() for name, parameter in avatar.named_parameters()}


def compare(mine, theirs) -> None:
    """Both of `graded`'s renderings and gradients, whatever their devices."""
    assert (theirs[0].alpha > 0.3).sum() > 3
    for name in ("color", "alpha", "depth"):
        here, there = getattr(mine[0], name).cpu(), getattr(theirs[0], name).cpu()
        torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-3)
    assert mine[2].keys() == theirs[2].keys()
    for name, gradient in theirs[2].items():
        scale = float(gradient.abs().max())
        assert scale > 0, name
        torch.testing.assert_close(mine[2][name].cpu(), gradient.cpu(), atol=2e-3 * scale, rtol=1e-3)


def test_kernels_render_the_same(device: torch.device):
    """With everything that each of them does: skinning, texture, shading, merging, samples and compositing."""
    rays, residual = small.on(some_rays(8), device), uv_residual()
    plain = made(residual=copy.deepcopy(residual)).eval().to(device)
    fast = made(residual=copy.deepcopy(residual), kernels="triton").eval().to(device)
    stage = three_bodies(plain)  # of plain PyTorch for both: interpreted, it would take a minute
    compare(graded(fast, stage, rays), graded(plain, stage, rays))


def test_spare_capacity_changes_nothing(device: torch.device):
    """As in a captured step: unused samples and rows take no part."""
    rays = small.on(some_rays(12), device)
    avatar = made(residual=uv_residual(), kernels="triton").eval().to(device)
    plain = made(residual=uv_residual()).eval().to(device)
    stage = three_bodies(plain)
    expected = graded(plain, stage, rays)
    samples, rows = int(expected[1].samples), expected[1].rows.tolist()
    ample = graded(avatar, stage, rays, RayCapacity(samples + 100, tuple(padded(n) + 128 for n in rows)))
    assert len(ample[0].weights) == samples + 100
    assert int(ample[1].samples) == samples and ample[1].rows.tolist() == rows
    compare(ample, expected)


@pytest.mark.gpu
def test_the_gpu_renders_the_same():
    cpu = made(residual=uv_residual()).eval()
    here = cpu.render_image(toy.camera(0), toy.pose(1), 1)
    there = cpu.cuda().render_image(toy.camera(0), toy.pose(1), 1)
    assert there.rgb.is_cuda
    torch.testing.assert_close(there.rgb.cpu(), here.rgb, atol=5e-3, rtol=0)
    torch.testing.assert_close(there.alpha.cpu(), here.alpha, atol=5e-3, rtol=0)
