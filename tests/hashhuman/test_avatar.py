"""The avatar: rendering of posed bodies, whatever finds their neighbours."""

import copy
import dataclasses
import functools

import pytest
import torch

from hashhuman.body import skinning
from hashhuman.body.template import BodyPose
from hashhuman.deformer.residual import UVTimeResidual
from hashhuman.encoder import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrid
from hashhuman.losses import mean_length
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.renderer.volume import Rays
from tests import toy
from tests.hashhuman import small

# The toy has points at its corners only: it is solid when everything within 20 cm of them counts.
REACH = 0.2


def made(**changes):
    """An avatar of random colours, dense enough to be seen; the same one each time."""
    avatar = small.avatar(reach=REACH, **changes)
    generator = torch.Generator().manual_seed(0)
    for part in avatar.field.parts.values():
        part.density_scale = 30.0
        torch.nn.init.normal_(part.encoder.table, std=0.3, generator=generator)
    return avatar


def uv_residual() -> UVTimeResidual:
    residual = UVTimeResidual(3, TorchHashGrid, HashGridSpec(2, 2, 8, 4, 1.5), 8, 0.05, 0.02)
    generator = torch.Generator().manual_seed(0)
    for parameter in residual.parameters():  # untrained, it displaces nothing
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return residual


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
        rendering, residual = avatar(rays, stage)
    assert residual is None
    torch.testing.assert_close(image.rgb.flatten(0, 1), rendering.color, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(image.alpha.flatten(), rendering.alpha, atol=1e-5, rtol=1e-4)
    seen = rendering.alpha > 1e-3
    torch.testing.assert_close(
        image.depth.flatten()[seen], (rendering.depth / rendering.alpha)[seen], atol=1e-4, rtol=1e-4
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
    y, x = torch.meshgrid(torch.arange(0, 48, 3), torch.arange(0, 48, 3), indexing="ij")
    origins, directions = toy.camera(0).rays(torch.stack([x, y], -1).flatten(0, 1).float())
    rays = Rays(origins.clone(), directions, torch.arange(len(origins)) % 3)
    results = []
    displacement = uv_residual() if residual else None
    for options in ({}, {"neighbors": functools.partial(BruteNeighbors, k=8)}):
        avatar = made(residual=copy.deepcopy(displacement), **options)
        avatar.eval()
        rendering, displaced = avatar(rays, avatar.stage([toy.pose(frame) for frame in range(3)], [0, 1, 2]))
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
    for part in avatar.field.parts.values():
        with torch.no_grad():
            part.conditions[1].codes.weight.copy_(torch.tensor([[9.0, -9.0], [0.0, 0.0], [-9.0, 9.0]]))
    first, unseen, again = (avatar.render_image(toy.camera(0), toy.pose(0), frame).rgb for frame in (0, None, 1))
    assert (first - unseen).abs().max() > 0.01
    torch.testing.assert_close(unseen, again)  # the mean of the codes is zero, as the second is


def test_unseen_poses_are_not_displaced():
    displaced, plain = made(residual=uv_residual()).eval(), made()
    seen, unseen = (displaced.render_image(toy.camera(0), toy.pose(0), frame) for frame in (0, None))
    torch.testing.assert_close(unseen.rgb, plain.render_image(toy.camera(0), toy.pose(0)).rgb)
    assert (seen.rgb - unseen.rgb).abs().max() > 1e-4


def test_stages_default_to_poses_of_their_own():
    stage = made().stage([toy.pose(0), toy.pose(1)])
    assert stage.bodies.time.tolist() == [-1, -1] and len(stage.shell.origin) == 2


@pytest.mark.gpu
def test_the_gpu_renders_the_same():
    cpu = made(residual=uv_residual()).eval()
    here = cpu.render_image(toy.camera(0), toy.pose(1), 1)
    there = cpu.cuda().render_image(toy.camera(0), toy.pose(1), 1)
    assert there.rgb.is_cuda
    torch.testing.assert_close(there.rgb.cpu(), here.rgb, atol=5e-3, rtol=0)
    torch.testing.assert_close(there.alpha.cpu(), here.alpha, atol=5e-3, rtol=0)


def test_rendering_with_queries_of_a_fixed_size():
    """What a recorded step does: surplus pairs, on a dummy point, change neither pictures nor residuals' losses."""
    avatar = made(residual=uv_residual())
    avatar.residual.neighborhood = 0.0
    stage = avatar.stage([toy.pose(1)], [1])
    origins, directions = toy.camera(0).rays(torch.cartesian_prod(torch.arange(10.0, 40), torch.arange(10.0, 40)))
    rays = Rays(origins.clone(), directions, torch.zeros(len(origins), dtype=torch.long))
    results = []
    for room in (None, 300):
        if room:
            stage.neighbors.capacity = [count + room for count in stage.neighbors.last_counts]
        rendering, residual = avatar(rays, stage)
        length = mean_length(residual.value, residual)
        avatar.zero_grad()
        (rendering.color.sum() + length).backward()
        gradients = {name: parameter.grad.clone() for name, parameter in avatar.named_parameters()}
        results.append((rendering, length, gradients, residual))
    exact, fixed = results
    assert len(fixed[3].value) >= len(exact[3].value) + 5 * 300
    torch.testing.assert_close(fixed[0].color, exact[0].color, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(fixed[1], exact[1])
    for name, gradient in exact[2].items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(fixed[2][name], gradient, atol=1e-4 * scale, rtol=1e-3)
