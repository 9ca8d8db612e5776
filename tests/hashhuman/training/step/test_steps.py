"""Eager and captured optimizer steps."""

import copy
import unittest.mock

import pytest
import torch
from torch import nn

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.avatar.prediction import Prediction
from hashhuman.data.error_map import ErrorMap
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.gpu.capacity import RayCapacity, RayNeeds
from hashhuman.training import losses
from hashhuman.training.step import graph
from hashhuman.training.step.auto import automatic_step
from hashhuman.training.step.eager import EagerStep, StepResult
from hashhuman.training.step.graph import MAX_RAY_FACTOR, GraphStep, plan
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_pixels import training_picture


class Squares:
    """An objective on two weights, which notes the arguments of its calls."""

    def __init__(self, device: str = "cpu") -> None:
        self.weight = nn.Parameter(torch.tensor([3.0, -1.0], device=device))
        self.asked: list[tuple[float, RayCapacity | None]] = []
        self.needed = 300  # samples

    def __call__(self, ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        """Twice the sum of squares."""
        self.asked.append((ray_factor, capacity))
        squared = (self.weight**2).sum()
        device = squared.device
        needed = torch.full((1,), self.needed, device=device), torch.full((2,), 200, device=device)
        return StepResult(2 * squared, {"squared": squared}, RayNeeds(*needed))

    def optimizer(self) -> torch.optim.Optimizer:
        """Plain descent."""
        return torch.optim.SGD([self.weight], lr=0.1)


def test_eager_is_forward_backward_update():
    squares = Squares()
    step = EagerStep(squares, squares.optimizer())
    result = step()
    assert result.loss.item() == 20 and result.terms["squared"].item() == 10  # before the update
    assert not result.loss.requires_grad and not result.terms["squared"].requires_grad
    assert result.needs.samples.item() == 300 and result.needs.rows.tolist() == [200, 200]
    torch.testing.assert_close(squares.weight.detach(), torch.tensor([1.8, -0.6]))  # the gradient is 4 w
    capacity = RayCapacity(512, (256, 256))
    step(2.5, capacity)
    torch.testing.assert_close(squares.weight.detach(), torch.tensor([1.08, -0.36]))  # and was not added up
    assert squares.asked == [(1.0, None), (2.5, capacity)]


def test_an_obstacle_is_told_where_a_graph_was_asked_for():
    squares = Squares()
    with pytest.raises(UserError, match="since the engine has its own streams: use step=eager or step=auto"):
        GraphStep(squares, squares.optimizer(), obstacle="the engine has its own streams")


def test_without_a_gpu_the_choice_is_eager():
    squares = Squares()
    assert isinstance(automatic_step(squares, squares.optimizer()), EagerStep)


@pytest.mark.gpu
def test_on_a_gpu_the_choice_is_a_graph():
    squares = Squares("cuda")
    assert isinstance(automatic_step(squares, torch.optim.Adam([squares.weight])), GraphStep)


def test_graphs_need_a_gpu():
    squares = Squares()
    with pytest.raises(UserError, match="needs a GPU: use step=eager"):
        GraphStep(squares, squares.optimizer())


def test_the_first_capture_has_the_measured_capacity():
    share, capacity = plan(10_000, [7000, 0, 128], ray_factor=1.0, max_samples=10_000)
    assert share == 1
    assert capacity.samples is not None and capacity.rows is not None
    for size, needed in zip((capacity.samples, *capacity.rows), (10_000, 7000, 0, 128)):
        assert size % 128 == 0 and size > 0
        assert 1.15 * needed <= size < 1.15 * needed + 129


def test_later_captures_draw_as_many_rays_as_the_samples_allow():
    """Twice as many rays if half the samples are needed; the other sizes grow with them."""
    share, capacity = plan(10_000, [6000], ray_factor=1.5, max_samples=20_000)
    assert share == pytest.approx(3.0)
    again = plan(20_000, [12_000], ray_factor=3.0, max_samples=20_000)
    assert again == (pytest.approx(3.0), capacity)
    fewer, _ = plan(40_000, [12_000], ray_factor=3.0, max_samples=20_000)  # also when more are needed
    assert fewer == pytest.approx(1.5)


def test_the_number_of_rays_has_bounds():
    share, capacity = plan(10, [10], ray_factor=2.0, max_samples=10**6)
    assert share == MAX_RAY_FACTOR and capacity == RayCapacity(128, (128,))
    assert plan(0, [0, 0], ray_factor=1.0, max_samples=0) == (1.0, RayCapacity(128, (128, 128)))  # nobody was seen


@pytest.mark.gpu
def test_captured_steps_equal_eager_steps():
    """With a deterministic objective: steps are measured, captured and replayed, then captured again."""
    histories = []
    for captured in (False, True):
        squares = Squares("cuda")
        optimizer = torch.optim.Adam([squares.weight], lr=0.1)
        step = GraphStep(squares, optimizer, measured_steps=3, first_revision=4) if captured else None
        step = step or EagerStep(squares, optimizer)
        history = []
        for index in range(20):
            rate = optimizer.param_groups[0]["lr"]  # as a schedule changes it
            if isinstance(rate, torch.Tensor):
                rate.fill_(0.1 / (index + 1))
            else:
                optimizer.param_groups[0]["lr"] = 0.1 / (index + 1)
            history.append(step().loss.clone())
        histories.append(torch.stack([*history, *squares.weight.detach()]))
        if captured:
            first, later = RayCapacity(384, (256, 256)), squares.asked[5:]
            assert squares.asked[:3] == [(1.0, None)] * 3 and squares.asked[3:5] == [(1.0, first)] * 2
            assert len(later) == 4 and all(
                capacity is not None for _, capacity in later
            )  # after 4 and after 8 more: eager, captured
    torch.testing.assert_close(*histories)


@pytest.mark.gpu
def test_an_obstacle_makes_the_choice_eager(capsys):
    squares = Squares("cuda")
    assert isinstance(automatic_step(squares, squares.optimizer(), obstacle="of the engine"), EagerStep)
    assert capsys.readouterr().out == "step=auto: kernels are launched one by one, since of the engine\n"


def captured(device: str) -> tuple[Squares, GraphStep]:
    """A step that was measured and captured, and has been replayed."""
    squares = Squares(device)
    step = GraphStep(squares, torch.optim.Adam([squares.weight], lr=0.1), measured_steps=2, first_revision=1000)
    for _ in range(5):
        step()
    return squares, step


@pytest.mark.gpu
def test_an_invalid_graph_is_captured_again():
    """If memory that the graph reads was replaced, a step would use the old memory without `invalidate`."""
    squares, step = captured("cuda")
    asked = len(squares.asked)
    step()
    assert len(squares.asked) == asked  # a replay asks nothing
    step.invalidate()
    step()
    assert len(squares.asked) == asked + 2 and step.graph is not None  # one eager step, and the capture
    assert step.max_samples == 300


@pytest.mark.gpu
def test_a_step_that_computes_more_is_measured_before_it_is_captured():
    squares, step = captured("cuda")
    asked = len(squares.asked)
    step.remeasure()
    step()
    assert len(squares.asked) == asked + 1 and squares.asked[-1][1] is None and step.graph is None
    step()
    assert len(squares.asked) == asked + 3 and step.graph is not None


def test_what_comes_on_top_takes_no_rays_away(monkeypatch):
    """Patches of a late loss come on top of the single rays, of which a step keeps as many."""
    monkeypatch.setattr(GraphStep, "require", staticmethod(lambda device: None))
    monkeypatch.setattr(graph, "on_side_stream", lambda work: work())
    monkeypatch.setattr(graph, "capture", lambda work: (unittest.mock.Mock(), work()))
    squares, step = captured("cpu")
    squares.needed = 700
    step.remeasure()
    step()
    step()
    factor, capacity = squares.asked[-1]
    assert factor == 1 and capacity is not None and capacity.samples is not None and capacity.samples >= 700


@pytest.fixture
def start(toy_folder) -> tuple[HashGridAvatar, PixelStore]:
    """An untrained avatar on the GPU, and pictures of three frames."""
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 3]
    return small.avatar(reach=0.2, kernels="triton").cuda(), PixelStore.build(pictures, 0.2, "cuda")


def training(avatar: HashGridAvatar, store: PixelStore, n_rays: int, jitter: bool):
    """An objective as training has it, and its optimizer."""
    sampler = RaySampler(n_rays, {"body": 0.6, "surround": 0.4}, 0, 8, "random")
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.1)}
    scene = avatar.scene([toy.pose(frame) for frame in range(3)], [0, 1, 2])

    def objective(ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        batch = sampler.draw(store, ray_factor)
        outputs = avatar.render_rays(batch.rays, scene, jitter=jitter, capacity=capacity)
        prediction = Prediction(**vars(outputs), batch=batch, bodies=scene.bodies, field=avatar.field)
        return StepResult(*losses.weighted_sum(terms, prediction), prediction.needs)

    return objective, torch.optim.Adam(avatar.parameters(), 0.01, eps=1e-15)


@pytest.mark.gpu
def test_a_step_within_a_planned_capacity_is_the_same_step(start):
    """With capacities planned from its own needs, a step has the same losses and gradients as without them."""
    totals, gradients, needed, capacity = [], [], [], None
    for _ in range(2):
        avatar = copy.deepcopy(start[0])
        objective, _ = training(avatar, start[1], n_rays=512, jitter=False)
        torch.manual_seed(0)
        result = objective(1.0, capacity)
        result.loss.backward()
        totals.append(result.loss.detach())
        gradients.append({name: p.grad for name, p in avatar.named_parameters() if p.grad is not None})
        needed.append((result.needs.samples.item(), *result.needs.rows.tolist()))
        samples, *rows = needed[0]
        _, capacity = plan(samples, rows, 1.0, samples)
    assert needed[0] == needed[1] and needed[0][0] > 200
    torch.testing.assert_close(*totals)
    assert len(gradients[0]) > 3
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


@pytest.mark.gpu
def test_a_captured_step_learns_what_an_eager_one_does(start):
    final = {}
    for kind in (EagerStep, GraphStep):
        torch.manual_seed(0)
        avatar = copy.deepcopy(start[0])
        objective, optimizer = training(avatar, start[1], n_rays=512, jitter=True)
        step = GraphStep(objective, optimizer, 4, 60) if kind is GraphStep else EagerStep(objective, optimizer)
        history = [step().loss.clone() for _ in range(150)]
        first, final[kind] = torch.stack(history[:5]).mean(), torch.stack(history[-20:]).mean()
        assert final[kind] < 0.5 * first
    eager, captured = final.values()
    assert abs(eager - captured) < 0.2 * eager


@pytest.mark.gpu
def test_a_captured_step_goes_on_from_its_state():
    """With the sizes and the optimizer of a checkpoint, no step is measured again, and the losses are the same."""
    squares = Squares("cuda")
    optimizer = torch.optim.Adam([squares.weight], lr=0.1)
    step = GraphStep(squares, optimizer, measured_steps=3, first_revision=100)
    for _ in range(8):
        step()
    saved = copy.deepcopy((step.state_dict(), squares.weight.detach(), optimizer.state_dict()))
    expected = [step().loss.clone() for _ in range(5)]

    again = Squares("cuda")
    optimizer = torch.optim.Adam([again.weight], lr=0.1)
    sizes, weight, state = saved
    again.weight.data.copy_(weight)
    optimizer.load_state_dict(state)
    resumed = GraphStep(again, optimizer, measured_steps=3, first_revision=100)
    resumed.load_state_dict(sizes)
    found = [resumed().loss.clone() for _ in range(5)]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected))
    assert [capacity for _, capacity in again.asked] == [step.capacity] * 2  # one eager step and the capture


def errors_followed(avatar: HashGridAvatar, store: PixelStore, step: type) -> ErrorMap:
    """The error map after twelve steps that draw by it and tell it what they saw; it is updated after five and ten."""
    error_map = ErrorMap(tile=8, every=5, rate=0.5)
    sampler = RaySampler(128, {"body": 0.5, "errors": 0.5}, 0, 8, "black", error_map)
    scene = avatar.prepare([toy.pose(frame) for frame in range(3)])

    def objective(ray_factor: float = 1.0, capacity: RayCapacity | None = None) -> StepResult:
        prediction = avatar.predict(sampler.draw(store, ray_factor), scene, capacity)
        assert prediction.batch.pixels is not None
        error_map.observe(store, prediction.batch.pixels, losses.color_errors(prediction).detach())
        return StepResult(*losses.weighted_sum({"color": losses.ColorLoss(1.0)}, prediction), prediction.needs)

    take = step(objective, torch.optim.Adam(avatar.parameters(), 0.01, eps=1e-15))
    for index in range(12):
        take()
        error_map.after_step(index + 1)
    return error_map


def assert_followed(error_map: ErrorMap, store: PixelStore) -> None:
    fresh = ErrorMap(tile=8, every=5, rate=0.5)
    fresh.start(store)
    moved = (error_map.state["error"] - fresh.state["error"]).abs() > 1e-6
    assert moved.float().mean() > 0.1
    torch.testing.assert_close(error_map.cumulative, error_map.state["error"].double().cumsum(0))
    assert 2 * 100 < error_map.state["count"].sum() < 2 * 1000  # of the two steps since the last update


def test_steps_follow_the_errors(toy_folder):
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 3]
    store = PixelStore.build(pictures, 0.2, "cpu")
    assert_followed(errors_followed(small.avatar(reach=0.2), store, EagerStep), store)


@pytest.mark.gpu
def test_captured_steps_follow_the_errors(start):
    avatar, store = start
    assert_followed(errors_followed(avatar, store, GraphStep), store)
