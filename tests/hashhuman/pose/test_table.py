"""Poses that are learned with the avatar."""

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.avatar.scene import Scene
from hashhuman.body.template import BodyPose
from hashhuman.data.batch import RayBatch
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.rays import camera_rays
from hashhuman.pose.blur import GradientBlur
from hashhuman.pose.corrections import Correction
from hashhuman.pose.table import FixedPoses, RefinedPoses
from hashhuman.training import losses
from hashhuman.training.step.eager import EagerStep, StepResult
from hashhuman.training.step.graph import GraphStep
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_pixels import training_picture

FRAMES = [10, 12, 16]
OPTIONS = {
    "lr": 0.01, "transl_lr": 0.005, "start_step": 0, "warmup_steps": 1, "stop_step": None, "refresh_every": 10,
    "drift": 0.01,
}  # fmt: skip


def table(n_frames: int = 3, **changes) -> RefinedPoses:
    return RefinedPoses(n_frames, 5, **(OPTIONS | changes))


def made(kernels: str = "torch", reach: float = 0.2, **changes) -> HashGridAvatar:
    """The small avatar with refined poses."""
    avatar = small.avatar(reach=reach, kernels=kernels)
    avatar.poses = table(kernels=kernels, **changes)
    return avatar


def wrong(pose: BodyPose, degrees: float, seed: int) -> BodyPose:
    """The pose with every joint turned about some axis, and the body moved by 2 cm."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator), dim=1) * degrees * torch.pi / 180
    shift = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0) * 0.02
    return Correction(turn, shift).of(pose, toy.template().joints[0])


def joints(pose: BodyPose) -> torch.Tensor:
    """Positions (m, world) of the far ends of the toy's boxes, which every joint moves."""
    posed = skinning.transform(pose.world_from_posed(), toy.template().pose_vertices(pose.body_pose))
    return posed.unflatten(0, (5, 8)).mean(1)


def test_corrections_of_zero_render_the_same_bits():
    fixed, refined = small.avatar(), made(reach=small.REACH)
    assert isinstance(fixed.poses, FixedPoses)
    refined.prepare([toy.pose(0), toy.pose(1), toy.pose(2)], FRAMES)
    for pose, frame in ((toy.pose(1), 12), (toy.pose(3), 14)):
        images = [
            avatar.render_image(toy.camera(0), avatar.refined_pose(pose, frame), None) for avatar in (fixed, refined)
        ]
        assert images[0].alpha.max() > 0.5
        for name in ("rgb", "alpha", "depth"):
            assert torch.equal(getattr(images[0], name), getattr(images[1], name))


def test_fixed_poses_cost_nothing(device: torch.device):
    poses = FixedPoses(3, 5)
    bodies = small.on(small.bodies(), device)
    assert not list(poses.parameters()) and not poses.state_dict() and poses.parameter_groups() == []
    assert poses.bodies(bodies) == (bodies, None)  # the same object
    assert poses.moved(bodies) is None and not poses.after_step(100)
    with_table = {id(p) for group in small.avatar().parameter_groups() for p in group["params"]}
    assert len(with_table) == len(list(small.avatar().parameters()))


def test_gradients_of_a_rendered_loss_against_finite_differences(monkeypatch):
    """Samples, candidates and weights count as constant, so they are held; poses of two frames vary."""
    avatar, generator = made(), torch.Generator().manual_seed(0)
    scene = avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)])
    rays = camera_rays(toy.camera(0).scaled(0.5), avatar.device)
    rays = dataclasses.replace(rays, frames=torch.arange(len(rays)) % 2)
    with torch.no_grad():
        samples = avatar.sampler(rays, scene.bodies, scene.index.shell, jitter=False)
    monkeypatch.setattr(avatar, "sampler", lambda *_: samples)
    found = []
    query = scene.index.neighbors.query

    def first_found(*arguments):
        found.append(found[0] if found else query(*arguments))
        return found[0]

    monkeypatch.setattr(scene.index.neighbors, "query", first_found)
    weights = torch.randn(len(rays), 3, generator=generator)

    def total() -> torch.Tensor:
        bodies, _ = avatar.poses.bodies(scene.bodies)
        return (avatar.render_rays(rays, Scene(bodies, scene.index)).rendering.color * weights).sum()

    total()
    avatar.skinning.reach = avatar.skinning.depth = 10.0  # so that no pair comes or goes
    total().backward()
    for parameter in (avatar.poses.rotation, avatar.poses.transl):
        gradient = parameter.grad.clone()
        assert gradient[:2].abs().min() > 0 and (gradient[2] == 0).all()  # no ray of the third frame
        for _ in range(3):
            direction, values = torch.randn(parameter.shape, generator=generator), []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.copy_(sign * 1e-4 * direction)
                    values.append(total().item())
                    parameter.zero_()
            expected = (values[0] - values[1]) / 2e-4
            assert (gradient * direction).sum().item() == pytest.approx(expected, rel=0.05, abs=0.05)


@pytest.mark.gpu  # the interpreter takes minutes; it compares each kernel's gradients in the test of that kernel
def test_kernels_teach_the_corrections_the_same():
    """All the way from the rendered colour and opacity to the corrections, with every condition of the colour."""
    gradients, device = [], torch.device("cuda")
    for kernels in ("torch", "triton"):
        avatar = made(kernels).to(device)
        scene = avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)])
        rays = camera_rays(toy.camera(0).scaled(0.5), device)
        rays = dataclasses.replace(rays, frames=torch.arange(len(rays), device=device) % 2)
        bodies, _ = avatar.poses.bodies(scene.bodies)
        rendering = avatar.render_rays(rays, Scene(bodies, scene.index)).rendering
        weights = torch.randn(len(rays), 4, generator=torch.Generator().manual_seed(0)).to(device)
        ((rendering.color * weights[:, :3]).sum() + (rendering.alpha * weights[:, 3]).sum()).backward()
        gradients.append([avatar.poses.rotation.grad.cpu(), avatar.poses.transl.grad.cpu()])
    for slow, fast in zip(*gradients):
        assert slow[:2].abs().min() > 0
        assert (fast - slow).norm() < 0.02 * slow.norm()


def test_held_out_frames_teach_nothing_and_are_interpolated():
    avatar = made()
    avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)], FRAMES)
    assert avatar.poses.rotation.shape == (3, 5, 3)  # no row for any other frame
    with torch.no_grad():
        avatar.poses.rotation[1, 2, 2], avatar.poses.transl[2, 0] = 0.2, 0.4
    between, pose = avatar.refined_pose(toy.pose(4), 13), toy.pose(4)
    expected = Correction(0.75 * avatar.poses.rotation[1], 0.25 * avatar.poses.transl[2]).of(
        pose, toy.template().joints[0]
    )
    torch.testing.assert_close(between.body_pose, expected.body_pose)
    torch.testing.assert_close(between.transl, expected.transl)
    assert avatar.refined_pose(pose, 17) is pose and avatar.refined_pose(pose, 9) is pose


def test_checkpoints_hold_the_corrections_and_their_frames():
    avatar = made()
    avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)], FRAMES)
    with torch.no_grad():
        avatar.poses.rotation.normal_(0, 0.2)
        avatar.poses.transl.normal_(0, 0.1)
    other = made()
    assert other.poses.correction(12) is None  # an untrained table knows no frames
    other.load_state_dict(avatar.state_dict())
    for frame, pose in ((12, toy.pose(1)), (11, toy.pose(5)), (15, toy.pose(5))):
        mine, theirs = (each.refined_pose(pose, frame) for each in (avatar, other))
        assert torch.equal(mine.body_pose, theirs.body_pose) and torch.equal(mine.transl, theirs.transl)
        assert not torch.equal(mine.body_pose, pose.body_pose)
    with pytest.raises(UserError, match="The pose of frame 12 is not the one that this run refined"):
        other.refined_pose(toy.pose(0), 12)


def test_groups_have_their_own_rate_and_warm_up():
    avatar = made(start_step=10, warmup_steps=4)
    rest, rotation, transl = avatar.parameter_groups()
    assert [group["lr"] for group in (rotation, transl)] == [0.01, 0.005] and "lr" not in rest
    assert rotation["params"] == [avatar.poses.rotation] and transl["params"] == [avatar.poses.transl]
    assert len(rest["params"]) == len(list(avatar.parameters())) - 2
    assert [rotation["factor"](step) for step in (0, 9, 10, 12, 13, 50)] == [0, 0, 0.25, 0.75, 1, 1]


def test_poses_are_refined_between_the_two_steps():
    """Outside, the step's bodies are those of the scene; at both ends the step must be captured again."""
    avatar = made(start_step=2, stop_step=4)
    scene, seen, changes = avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)]), [], []
    for step in range(1, 7):
        bodies, poses = avatar.poses.bodies(scene.bodies)
        seen.append(poses is not None)
        assert seen[-1] or bodies is scene.bodies
        if step == 3:
            with torch.no_grad():
                avatar.poses.transl[0, 0] += 0.3
        scene, changed = avatar.after_step(scene, step)
        changes.append(changed)
    assert seen == [False, False, True, True, False, False]
    assert changes == [False, True, False, True, False, False]
    assert scene.bodies.world_from_posed[0, 0, 3].item() == pytest.approx(toy.pose(0).transl[0].item() + 0.3)


def test_bodies_that_have_moved_are_indexed_again_in_place():
    avatar = made(refresh_every=2, drift=0.02)
    scene = avatar.prepare([toy.pose(0), toy.pose(1), toy.pose(2)])
    addresses, keys = [x.data_ptr() for x in scene.index.tensors()], scene.index.neighbors.keys.clone()

    def after(step: int, angle: float) -> Scene:
        with torch.no_grad():
            avatar.poses.rotation[1, 2, 2] = angle  # an arm half a metre long
        return avatar.after_step(scene, step)[0]

    assert after(2, 0.02) is scene  # it has moved by about 1 cm
    assert after(3, 0.1) is scene  # not asked at this step
    moved = after(4, 0.1)
    assert [x.data_ptr() for x in moved.index.tensors()] == addresses
    fresh = avatar._index(moved.bodies, spare=avatar.poses.spare).neighbors.keys
    assert torch.equal(moved.index.neighbors.keys, fresh) and not torch.equal(fresh, keys)
    assert torch.equal(fresh[[0, 2]], keys[[0, 2]])
    expected = toy.template().pose_vertices(avatar.refined_pose(toy.pose(1), 1).body_pose)
    torch.testing.assert_close(moved.bodies.vertices[1], expected, atol=1e-5, rtol=0)
    assert avatar.after_step(moved, 6)[0] is moved  # it has not moved since


@pytest.mark.parametrize("angles", [[], [0.1], [0.1, 0.13], [1.2], [1.2, 0.9]])
def test_a_training_that_is_continued_has_the_same_index(angles: list[float]):
    """To the bit, whether bodies have moved within their memory (small angles) or beyond it."""
    avatar, again, fit = (
        made(refresh_every=2, drift=0.02),
        made(refresh_every=2, drift=0.02),
        [toy.pose(0), toy.pose(1)],
    )
    avatar.poses, again.poses = (table(2, kernels="torch", refresh_every=2, drift=0.02) for _ in range(2))
    scene = avatar.prepare(fit)
    for step, angle in enumerate(angles, 1):
        with torch.no_grad():
            avatar.poses.rotation[1, 2, 2] = angle
        scene, _ = avatar.after_step(scene, 2 * step)
    with torch.no_grad():
        avatar.poses.rotation += 0.004  # less than the drift
    again.load_state_dict(avatar.state_dict())
    resumed = again.prepare(fit)
    assert torch.equal(resumed.bodies.vertices, scene.bodies.vertices)
    for mine, theirs in zip(resumed.index.tensors(), scene.index.tensors(), strict=True):
        assert torch.equal(mine, theirs)
    pairs = [torch.stack([scene.index.voxel, scene.index.cell]).unique(dim=1) for scene in (resumed, scene)]
    assert torch.equal(*pairs)


@pytest.fixture(scope="module")
def store(toy_folder) -> PixelStore:
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 3]
    return PixelStore.build(pictures, 0.2, "cpu")


def trained(
    avatar: HashGridAvatar,
    store: PixelStore,
    poses: list[BodyPose],
    steps: int,
    step: type = EagerStep,
    lr: float = 0.02,
) -> list[float]:
    """Trains as `HumanModule` does, and returns the losses."""
    sampler = RaySampler(128, {"body": 0.6, "surround": 0.4}, 0, 8, "random")
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.1), "far": losses.PoseDistanceLoss(1e-3, 1.0)}
    state = {"scene": avatar.prepare(poses)}

    def objective(ray_factor: float = 1.0, capacity=None) -> StepResult:
        prediction = avatar.predict(sampler.draw(store, ray_factor), state["scene"], capacity)
        return StepResult(*losses.weighted_sum(terms, prediction), prediction.needs)

    groups = [{name: value for name, value in group.items() if name != "factor"} for group in avatar.parameter_groups()]
    groups[0]["lr"] = lr
    take: Callable = step(objective, torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15))
    history = []
    for index in range(steps):
        history.append(take().loss.item())
        state["scene"], changed = avatar.after_step(state["scene"], index + 1)
        if changed:
            take.invalidate()
    return history


def learned(store: PixelStore, kernels: str) -> HashGridAvatar:
    """An avatar that was trained with exact poses, which stayed fixed."""
    torch.manual_seed(0)
    avatar = made(kernels, start_step=10**6).to(store.color.device)
    trained(avatar, store, [toy.pose(frame) for frame in range(3)], 60)
    return avatar


@pytest.fixture(scope="module")
def learned_on_cpu(store: PixelStore) -> HashGridAvatar:
    return learned(store, "torch")


def distance(poses: list[BodyPose]) -> float:
    """Mean distance (m) of the boxes' ends from where they are in the exact poses."""
    pairs = [(joints(pose), joints(toy.pose(frame))) for frame, pose in enumerate(poses)]
    return torch.stack([(mine - exact).norm(dim=1).mean() for mine, exact in pairs]).mean().item()


def recovered(avatar: HashGridAvatar, store: PixelStore, step: type) -> tuple[float, float]:
    """Distances of perturbed poses before and after they were refined with an avatar that hardly learns any more."""
    avatar = copy.deepcopy(avatar)
    avatar.poses = table(kernels=avatar.kernels, lr=0.02, refresh_every=20).to(avatar.device)
    start = [wrong(toy.pose(frame), 8.0, frame) for frame in range(3)]
    trained(avatar, store, start, 50, step, lr=1e-5)
    return distance(start), distance([avatar.refined_pose(pose, frame) for frame, pose in enumerate(start)])


def test_a_perturbed_body_recovers_its_pose(learned_on_cpu: HashGridAvatar, store: PixelStore):
    before, after = recovered(learned_on_cpu, store, EagerStep)
    assert before > 0.03 and after < 0.5 * before


@pytest.mark.gpu
@pytest.mark.parametrize("step", [EagerStep, GraphStep])
def test_a_perturbed_body_recovers_its_pose_on_a_gpu(store: PixelStore, step: type):
    moved = small.on(store, torch.device("cuda"))
    before, after = recovered(learned(moved, "triton"), moved, step)
    assert before > 0.03 and after < 0.5 * before


def test_a_pose_is_fitted_to_one_picture(learned_on_cpu: HashGridAvatar, toy_folder):
    """In that picture; along its rays the distance to the exact pose is free. The avatar is as before."""
    avatar, subject = learned_on_cpu, Subject(toy_folder)
    image, mask = (
        torch.from_numpy(x) for x in (subject.image(subject.pictures[0]) / 255, subject.mask(subject.pictures[0]))
    )
    weights = {name: value.clone() for name, value in avatar.state_dict().items()}
    start = wrong(toy.pose(0), 8.0, 0)
    options = {"steps": 30, "n_rays": 128, "lr": 0.02, "transl_lr": 0.005, "distance_weight": 1e-3}
    fitted = avatar.fit_pose(subject.camera(0), image.float(), mask, start, **options)
    before, after, exact = (
        (avatar.render_image(subject.camera(0), pose).rgb - image).square().mean().item()
        for pose in (start, fitted, toy.pose(0))
    )
    assert after - exact < 0.4 * (before - exact)
    for name, value in avatar.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert all(parameter.requires_grad for parameter in avatar.parameters())


@pytest.mark.gpu
def test_captured_steps_follow_refined_poses_through_all_phases(store: PixelStore):
    """Not yet, refined with refreshed indices, and no longer: as eager steps do, within the noise of the rays."""
    moved = small.on(store, torch.device("cuda"))
    final = {}
    for step in (EagerStep, GraphStep):
        torch.manual_seed(0)
        avatar = made("triton", start_step=20, stop_step=120, refresh_every=15, drift=0.002).cuda()
        poses = [wrong(toy.pose(frame), 5.0, frame) for frame in range(3)]
        history = trained(avatar, moved, poses, 160, step)
        assert sum(history[-20:]) < 0.5 * sum(history[:20]) and avatar.poses.rotation.abs().max() > 0.01
        final[step] = sum(history[-30:])
    assert abs(final[EagerStep] - final[GraphStep]) < 0.25 * final[EagerStep]


def test_batches_of_some_frames_move_no_others(store: PixelStore):
    avatar = made()
    scene = avatar.prepare([toy.pose(frame) for frame in range(3)])
    batch: RayBatch = RaySampler(256, {"body": 1.0}, 0, 8, "random").draw(store)
    rays = dataclasses.replace(batch.rays, frames=batch.rays.frames.clamp(max=1))
    prediction = avatar.predict(dataclasses.replace(batch, rays=rays), scene)
    losses.ColorLoss(1.0)(prediction).backward()
    gradient = copy.copy(avatar.poses.rotation.grad)
    assert (gradient[:2] != 0).any() and (gradient[2] == 0).all()


def test_other_poses_are_refused_when_training_goes_on():
    poses = [toy.pose(0), toy.pose(1), toy.pose(2)]
    first, again = table(), table()
    first.start(toy.template(), poses, FRAMES)
    again.load_state_dict(first.state_dict())
    again.start(toy.template(), poses, FRAMES)
    with pytest.raises(UserError, match="The pose of frame 12 is not the one that this run refined"):
        again.start(toy.template(), [poses[0], wrong(poses[1], 5, seed=0), poses[2]], FRAMES)
    with pytest.raises(UserError, match="The training frames are not those whose poses this run refined"):
        again.start(toy.template(), poses, [10, 12, 14])


def test_the_blur_of_a_continued_training_is_the_same_when_poses_begin_late():
    """It narrows before poses are refined, too: a training that goes on does not know when it was looked at last."""
    poses = [toy.pose(0), toy.pose(1), toy.pose(2)]
    whole, continued = (table(start_step=30, blur=GradientBlur(4.0, 0.5, 100)) for _ in range(2))
    whole.start(toy.template(), poses, FRAMES)
    for step in range(1, 36):
        whole.after_step(step)
    continued.set_extra_state(torch.tensor(35))
    continued.start(toy.template(), poses, FRAMES)
    assert torch.equal(whole.blur.weights, continued.blur.weights)
