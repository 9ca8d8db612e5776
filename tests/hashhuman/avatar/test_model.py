"""The avatar: rendering of posed bodies with every neighbour search."""

import copy
import dataclasses
import functools

import pytest
import torch

from hashhuman.avatar.images import OPAQUE
from hashhuman.avatar.model import HashGridAvatar
from hashhuman.avatar.protocol import Avatar
from hashhuman.avatar.scene import Scene
from hashhuman.avatar.search_index import LinkedIndex
from hashhuman.body.template import BodyPose
from hashhuman.deformer.pairs import Points
from hashhuman.deformer.residual import UVTimeResidual
from hashhuman.encoder import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.geometry import skinning
from hashhuman.geometry.rays import Rays, camera_rays
from hashhuman.gpu.capacity import RayCapacity
from hashhuman.gpu.part_rows import padded
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.renderer.volume import composite
from hashhuman.training.losses import mean_length
from tests import toy
from tests.hashhuman import small

# The toy has points only at its corners. It is solid if everything within 20 cm of them belongs to it.
REACH = 0.2


def made(**changes) -> HashGridAvatar:
    """An avatar with random colours, dense enough to be visible; the same one at each call."""
    avatar = small.avatar(reach=REACH, **changes)
    avatar.field.density_scale = 30.0
    torch.nn.init.normal_(avatar.field.encoder.table, std=0.3, generator=torch.Generator().manual_seed(0))
    return avatar


def without_head(**changes) -> HashGridAvatar:
    """The same avatar with an empty head."""
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
    """Rays of a picture, which belong to three frames in turn."""
    y, x = torch.meshgrid(torch.arange(0, 48, step), torch.arange(0, 48, step), indexing="ij")
    origins, directions = toy.camera(0).rays(torch.stack([x, y], -1).flatten(0, 1).float())
    return Rays(origins.clone(), directions, torch.arange(len(origins)) % 3)


def three_bodies(avatar: HashGridAvatar) -> Scene:
    return avatar.scene([toy.pose(frame) for frame in range(3)], [0, 1, 2])


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


def test_pictures_equal_rendered_rays():
    avatar, camera = made(), toy.camera(1)
    image = avatar.render_image(camera, toy.pose(2), 2)
    scene = avatar.scene([toy.pose(2), toy.pose(2)], [0, 2])
    y, x = torch.meshgrid(torch.arange(48), torch.arange(48), indexing="ij")
    origins, directions = camera.rays(torch.stack([x, y], -1).flatten(0, 1).float())
    rays = Rays(origins.clone(), directions, torch.ones(48 * 48, dtype=torch.long))
    with torch.no_grad():
        outputs = avatar.render_rays(rays, scene)
        rendering, needs = outputs.rendering, outputs.needs
    assert outputs.residual is None and needs.samples == len(rendering.weights) and needs.rows.sum() > 1000
    # Pictures leave out samples behind an opaque surface.
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


def test_picture_sizes_and_an_empty_view():
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
        outputs = avatar.render_rays(rays, three_bodies(avatar))
        rendering = outputs.rendering
        assert (outputs.residual is None) == (not residual)
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
    half = pose.orient.norm()

    def quaternion(axis_angle: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        return torch.cat([(size / 2).cos()[None], (size / 2).sin() * axis_angle / size.clamp_min(1e-9)])

    (a, *u), (b, *v) = quaternion(turn, angle), quaternion(pose.orient, half)
    u, v = torch.stack(u), torch.stack(v)
    w, xyz = a * b - u @ v, a * v + b * u + torch.linalg.cross(u, v)
    orient = 2 * torch.atan2(xyz.norm(), w) * xyz / xyz.norm()
    world = skinning.axis_angle_to_matrix(turn)
    R = camera.R @ world.T
    return (
        dataclasses.replace(pose, orient=orient, transl=world @ pose.transl + shift),
        dataclasses.replace(camera, R=R, T=camera.T - R @ shift),
    )


def test_moving_body_and_camera_together_changes_nothing():
    avatar, turn, shift = made(), torch.tensor([0.3, 1.1, -0.4]), torch.tensor([1.0, -2.0, 0.5])
    here = avatar.render_image(toy.camera(0), toy.pose(2))
    pose, camera = moved(toy.pose(2), toy.camera(0), torch.tensor([1e-7, 0.0, 0.0]), shift)
    shifted = avatar.render_image(camera, pose)
    torch.testing.assert_close(shifted.rgb, here.rgb, atol=2e-3, rtol=0)
    pose, camera = moved(toy.pose(2), toy.camera(0), turn, shift)
    turned = avatar.render_image(camera, pose)
    torch.testing.assert_close(turned.alpha, here.alpha, atol=2e-3, rtol=0)
    torch.testing.assert_close(turned.depth, here.depth, atol=1e-2, rtol=0)
    # The light is fixed in the world, so colours may change, unless the light is rotated, too.
    assert (turned.rgb - here.rgb).abs().max() > 2e-3


def test_frame_codes_are_used_for_their_own_frame():
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


def test_scenes_for_pictures_and_for_training_have_the_same_shell():
    avatar = made()
    avatar.occupancy.marked.bernoulli_(0.003, generator=torch.Generator().manual_seed(0))
    poses = [toy.pose(0), toy.pose(1)]
    everything, linked, plain = made().scene(poses), avatar.prepare(poses), avatar.scene(poses)
    assert torch.equal(linked.index.shell.occupied, plain.index.shell.occupied)
    assert 0 < plain.index.shell.occupied.sum() < everything.index.shell.occupied.sum()


def test_poses_are_not_training_frames_by_default():
    scene = made().scene([toy.pose(0), toy.pose(1)])
    assert scene.bodies.time.tolist() == [-1, -1] and len(scene.index.shell.origin) == 2


def test_empty_space_is_no_longer_sampled():
    avatar = without_head()
    pictures, samples = [], []
    scene, rays = avatar.prepare([toy.pose(0)]), camera_rays(toy.camera(0), avatar.device)
    torch.manual_seed(0)
    for _ in range(2):
        pictures.append(avatar.render_image(toy.camera(0), toy.pose(0)))
        samples.append(int(avatar.sampler(rays, scene.bodies, scene.index.shell, jitter=False).needed))
        avatar.prune(scene)
    assert samples[1] < 0.95 * samples[0]
    # The body is dense up to its reach here, where a voxel's centre may belong to the head alone and a corner does not.
    change = (pictures[1].rgb - pictures[0].rgb).abs().amax(-1)
    assert (change > 1e-3).float().mean() < 0.01 and change.max() < 0.1
    assert (pictures[0].alpha > 0.5).sum() > 20
    later = avatar.scene([toy.pose(1)])  # what was learned about canonical space holds for later poses
    head = list(toy.PARTS).index("head")
    assert not later.index.cells.marked.view(5, -1)[head].all() and later.index.cells.marked.any()
    assert later.index.shell.occupied.sum() < made().scene([toy.pose(1)]).index.shell.occupied.sum()


def test_an_empty_field_renders_nothing():
    avatar = made()
    scene = avatar.prepare([toy.pose(0)])
    avatar.occupancy.marked.zero_()
    scene.index.prune()
    assert not scene.index.shell.occupied.any() and not avatar.scene([toy.pose(0)]).index.shell.occupied.any()
    image = avatar.render_image(toy.camera(0), toy.pose(0), background=0.25)
    assert (image.alpha == 0).all() and (image.rgb == 0.25).all() and (image.depth == 0).all()


def graded(avatar: HashGridAvatar, scene: Scene, rays: Rays, capacity: RayCapacity | None = None):
    """The avatar's rendering, the sizes that it needed, and the gradients of all its parameters."""
    avatar.zero_grad()
    outputs = avatar.render_rays(rays, scene, capacity=capacity)
    rendering, residual = outputs.rendering, outputs.residual
    generator = torch.Generator().manual_seed(5)
    seen = rendering.color, rendering.alpha, rendering.depth
    loss = sum((torch.rand(x.shape, generator=generator).to(x.device) * x).sum() for x in seen)
    if residual is not None:
        loss = loss + mean_length(residual.value, residual)
    loss.backward()
    return rendering, outputs.needs, {name: parameter.grad.clone() for name, parameter in avatar.named_parameters()}


def compare(mine, theirs) -> None:
    """Compares renderings and gradients of two results of `graded`, on any device."""
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
    """All kernels together: skinning, texture, shading, merging, samples and compositing."""
    rays, residual = small.on(some_rays(8), device), uv_residual()
    plain = made(residual=copy.deepcopy(residual)).eval().to(device)
    fast = made(residual=copy.deepcopy(residual), kernels="triton").eval().to(device)
    scene = three_bodies(plain)  # made by plain PyTorch for both, because the interpreter would take a minute
    compare(graded(fast, scene, rays), graded(plain, scene, rays))


def test_spare_capacity_changes_nothing(device: torch.device):
    """As in a captured step: unused samples and rows have no effect."""
    rays = small.on(some_rays(12), device)
    avatar = made(residual=uv_residual(), kernels="triton").eval().to(device)
    plain = made(residual=uv_residual()).eval().to(device)
    scene = three_bodies(plain)
    expected = graded(plain, scene, rays)
    samples, rows = int(expected[1].samples), expected[1].rows.tolist()
    ample = graded(avatar, scene, rays, RayCapacity(samples + 100, tuple(padded(n) + 128 for n in rows)))
    assert len(ample[0].weights) == samples + 100
    assert int(ample[1].samples) == samples and ample[1].rows.tolist() == rows
    compare(ample, expected)


@pytest.mark.gpu
def test_gpu_and_cpu_render_the_same():
    cpu = made(residual=uv_residual()).eval()
    here = cpu.render_image(toy.camera(0), toy.pose(1), 1)
    there = cpu.cuda().render_image(toy.camera(0), toy.pose(1), 1)
    assert there.rgb.is_cuda
    torch.testing.assert_close(there.rgb.cpu(), here.rgb, atol=5e-3, rtol=0)
    torch.testing.assert_close(there.alpha.cpu(), here.alpha, atol=5e-3, rtol=0)


def test_the_avatar_implements_its_protocols():
    avatar = made()
    assert isinstance(avatar, Avatar)
    (group,) = avatar.parameter_groups()
    assert {id(parameter) for parameter in group["params"]} == {id(parameter) for parameter in avatar.parameters()}


def test_what_keeps_it_from_being_captured():
    plain, fast = made(), made(kernels="triton")
    assert "kernels=torch" in (plain.capture_obstacle() or "") and fast.capture_obstacle() is None
    brute = made(kernels="triton", neighbors=functools.partial(BruteNeighbors, k=8))
    assert "neighbors other than grid" in (brute.capture_obstacle() or "")
    fast.field.encoder.uncapturable = "the encoder has its own streams"
    assert fast.capture_obstacle() == "the encoder has its own streams"


def test_pruning_follows_its_schedule():
    avatar = made()
    avatar.prune_after, avatar.prune_every = 4, 3
    scene = avatar.prepare([toy.pose(0)])
    times = []
    avatar.prune = lambda _: times.append(step)  # type: ignore[assignment]
    for step in range(1, 13):
        assert avatar.after_step(scene, step) == (scene, False)
    avatar.prune_after = None
    assert times == [6, 9, 12] and avatar.after_step(scene, 15) == (scene, False)


def nudged(scene: Scene, shift: float) -> Scene:
    """The same bodies shifted in posed space, with the old index."""
    return dataclasses.replace(scene, bodies=dataclasses.replace(scene.bodies, vertices=scene.bodies.vertices + shift))


@pytest.mark.parametrize("search", ["grid", "brute"])
def test_refreshing_updates_the_index_of_moved_bodies(search: str):
    """Bodies of the same size are updated in place, so that a CUDA graph that reads the memory sees the change."""
    avatar = made(neighbors=functools.partial(BruteNeighbors, k=8)) if search == "brute" else made()
    scene = avatar.prepare([toy.pose(0), toy.pose(1)])
    before = [(tensor.data_ptr(), tensor.clone()) for tensor in scene.index.tensors()]
    moved, replaced = avatar.refresh(nudged(scene, 0.013), torch.arange(2))
    assert not replaced and isinstance(moved.index, LinkedIndex)
    after = list(moved.index.tensors())
    assert [tensor.data_ptr() for tensor in after] == [address for address, _ in before]
    assert any(not torch.equal(tensor, old) for tensor, (_, old) in zip(after, before))
    expected = avatar._index(moved.bodies)
    if search == "grid":
        assert torch.equal(moved.index.neighbors.keys, expected.neighbors.keys)
    torch.testing.assert_close(moved.index.shell.origin, expected.shell.origin)
    assert len(moved.index.cell) > 100


def test_an_index_that_is_too_small_is_replaced():
    avatar = made()
    scene = avatar.prepare([toy.pose(0)])
    larger = dataclasses.replace(scene.bodies, vertices=scene.bodies.vertices * 1.5)
    grown, replaced = avatar.refresh(dataclasses.replace(scene, bodies=larger), torch.arange(1))
    assert replaced and grown.index.shell.occupied.shape > scene.index.shell.occupied.shape
    assert avatar.refresh(grown, torch.arange(1))[1] is False


def test_queries_equal_rendered_rays():
    """Colours and densities at the samples of some rays, composited by hand, equal the rendering."""
    avatar = made()
    scene, rays = avatar.scene([toy.pose(1)], [1]), camera_rays(toy.camera(0).scaled(0.3), avatar.device)
    with torch.no_grad():
        rendering = avatar.render_rays(rays, scene).rendering
        samples = rendering.samples
        positions = rays.rays_o[samples.ray] + samples.t[:, None] * rays.rays_d[samples.ray]
        color, density = avatar.query(positions, scene, rays.rays_d[samples.ray])
    again = composite(color, density, samples, "torch")
    assert again.alpha.max() > 0.9
    torch.testing.assert_close(again.color, rendering.color)
    far = torch.full((3, 3), 50.0)
    assert (avatar.query(far, scene)[1] == 0).all()


def test_field_queries_equal_avatar_queries_in_the_big_pose():
    """Near a part's points, the field returns what the avatar in its big pose returns."""
    avatar = made()
    template = avatar.template
    scene = avatar.scene([BodyPose(template.big_pose(), torch.zeros(3), torch.zeros(3))])
    head = avatar.part_points[list(toy.PARTS).index("head")]
    top = template.canonical_vertices[head].amax(0)
    x = top - torch.tensor([[0.02, 0.01, 0.02], [0.03, 0.0, 0.04]])
    with torch.no_grad():
        color, density = avatar.query(x, scene)
        pairs = avatar._to_canonical(Points(x, torch.zeros_like(x), torch.zeros(2, dtype=torch.long)), scene)[0]
        claims = pairs.slots >= 0
        normal = torch.stack([pairs.normal[slot[slot >= 0]].mean(0) for slot in pairs.slots.T])
        mine = avatar.field.query(x, normal, claims=claims)
    assert claims.any(0).all() and (density > 0).all()
    torch.testing.assert_close(mine[1], density, rtol=1e-3, atol=1e-3)
    assert (claims.sum(0) == 1).all()  # one part each, so that no choice between parts decides the colour
    torch.testing.assert_close(mine[0], color, rtol=1e-3, atol=1e-3)
    everywhere = avatar.field.query(x, normal)[1]
    assert (everywhere >= mine[1] - 1e-4).all()  # all cubes that contain a position count, and the highest density wins
