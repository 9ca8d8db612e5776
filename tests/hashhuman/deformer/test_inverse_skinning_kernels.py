"""Triton's inverse skinning against plain PyTorch, values and gradients."""

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose
from hashhuman.deformer.cells import Cells
from hashhuman.deformer.inverse_skinning import InverseSkinning
from hashhuman.deformer.pairs import CanonicalPairs, Points
from hashhuman.neighbors.base import Pairs
from hashhuman.neighbors.grid import GridNeighbors
from tests import toy
from tests.hashhuman import small

COUNT = 300
CPU = torch.device("cpu")
INPUTS = ("world_from_posed", "canonical_from_posed", "position")


def some_points(used: int | None = None, count: int = COUNT, n_vertices: int = 40, n_frames: int = 3) -> Points:
    """Points around the toy's first vertices; the first eight vertices belong to the torso."""
    generator = torch.Generator().manual_seed(0)
    bodies = small.bodies()
    frame = torch.arange(count) % n_frames
    corner = bodies.vertices[frame, torch.randint(n_vertices, (count,), generator=generator)]
    posed = corner + 0.06 * torch.randn(count, 3, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return Points(bodies.to_world(posed, frame), direction, frame, None if used is None else torch.tensor([used]))


def some_cells() -> Cells:
    marked = (torch.rand(5 * 4**3, generator=torch.Generator().manual_seed(3)) < 0.5).to(torch.uint8)
    return Cells(torch.full((5, 3), -1.0), torch.full((5,), 2.0), 4, marked, (0.5,) * 5)


def carried(
    device: torch.device, kernels: str, uv: bool = False, capacity=None, used: int | None = None, cells=None,
    count: int = COUNT,
) -> CanonicalPairs:  # fmt: skip
    bodies = small.on(small.bodies(), device)
    grid = GridNeighbors(bodies.vertices, small.on(small.part_points(), device), 0.03, 0.16)
    skinning = InverseSkinning(0.12, 0.05, 0.02, kernels)
    texture = toy.template().uv if uv else None
    inputs = (small.on(x, device) for x in (some_points(used, count), texture, cells))
    points, texture, cells = inputs
    return small.on(skinning(points, bodies, grid, texture, cells, capacity), CPU)


@pytest.mark.parametrize("uv", [False, True])
def test_kernel_and_torch_carry_points_to_the_same_positions(uv: bool, device: torch.device):
    slow, fast = carried(device, "torch", uv), carried(device, "triton", uv)
    assert slow.needed.sum() > COUNT / 2 and (slow.needed > 10).all()
    assert fast.rows.sizes == slow.rows.sizes
    torch.testing.assert_close(fast.rows.used, slow.rows.used)
    torch.testing.assert_close(fast.slots >= 0, slow.slots >= 0)
    mine, theirs = (pairs.slots[pairs.slots >= 0].long() for pairs in (fast, slow))  # in the same order of points
    torch.testing.assert_close(fast.point[mine].long(), slow.point[theirs])
    for name in ("x", "rotation", "normal") + (("uv",) if uv else ()):
        values = getattr(fast, name)
        torch.testing.assert_close(values[mine], getattr(slow, name)[theirs], atol=2e-5, rtol=1e-4)
        assert values.isfinite().all()


def test_kernel_and_torch_drop_pairs_in_unmarked_cells(device: torch.device):
    slow, fast, everything = (
        carried(device, "torch", cells=some_cells()),
        carried(device, "triton", cells=some_cells()),
        carried(device, "torch"),
    )
    torch.testing.assert_close(fast.slots >= 0, slow.slots >= 0)
    ratio = slow.needed.sum() / everything.needed.sum()
    assert 0.1 < ratio < 0.9
    # By hand: cells have sides of half a metre, from -1 m on.
    part, point = (everything.slots >= 0).nonzero().unbind(1)
    i, j, k = ((everything.x[everything.slots[part, point]] + 1) / 0.5).long().clamp(0, 3).unbind(1)
    marked = some_cells().marked.view(5, 4, 4, 4)[part, i, j, k] > 0
    torch.testing.assert_close(slow.slots[part, point] >= 0, marked)


def test_unused_points_make_no_pairs(device: torch.device):
    some = carried(device, "triton", used=100)
    assert (some.slots[:, 100:] == -1).all()
    torch.testing.assert_close(some.slots[:, :100] >= 0, carried(device, "triton").slots[:, :100] >= 0)


def test_pairs_beyond_the_capacity_are_dropped(device: torch.device):
    everything = carried(device, "triton", count=900)
    short = carried(device, "triton", capacity=(128,) * 5, count=900)
    assert (everything.needed > 128).any()
    torch.testing.assert_close(short.needed, everything.needed)
    torch.testing.assert_close(short.rows.used, everything.needed.clamp_max(128))
    for part in range(5):
        rows = short.slots[part][short.slots[part] >= 0]
        assert len(rows) == short.rows.used[part]
        assert ((rows >= 128 * part) & (rows < 128 * (part + 1))).all() and len(rows.unique()) == len(rows)


def learnable(device: torch.device, points: Points, names: tuple[str, ...] = INPUTS) -> tuple[PosedBodies, Points]:
    """Bodies and points on a device; the named tensors require gradients."""
    bodies, points = small.on(small.bodies(), device), small.on(points, device)
    points = dataclasses.replace(points, position=points.position.clone())
    for name in names:
        getattr(points if name == "position" else bodies, name).requires_grad_()
    return bodies, points


def carried_with_graph(bodies: PosedBodies, points: Points, kernels: str, capacity=None) -> CanonicalPairs:
    """Pairs of all parts, or of the first parts if the capacity has fewer."""
    n_parts = 5 if capacity is None else len(capacity)
    parts = small.on(small.part_points()[:n_parts], points.position.device)
    grid = GridNeighbors(bodies.vertices.detach(), parts, 0.03, 0.16)
    return InverseSkinning(0.12, 0.05, 0.02, kernels)(points, bodies, grid, capacity=capacity)


def weighted(pairs: CanonicalPairs, included: torch.Tensor) -> torch.Tensor:
    """A randomly weighted sum of positions and rotations of the included (part, point) pairs and all unused rows."""
    part, point = included.nonzero().unbind(1)
    rows = pairs.slots[part, point].long()
    assert (rows >= 0).all()
    weights = torch.randn(*included.shape, 12, generator=torch.Generator().manual_seed(4)).to(pairs.x)
    values = torch.cat([pairs.x, pairs.rotation.flatten(1)], 1)
    return (values[rows] * weights[part, point]).sum() + 7 * values[~pairs.rows.mask()].sum()


def gradients(bodies: PosedBodies, points: Points) -> dict[str, torch.Tensor]:
    found = {name: getattr(points if name == "position" else bodies, name).grad for name in INPUTS}
    return {name: grad.cpu() for name, grad in found.items() if grad is not None}


CASES = {  # capacity, used points, points, vertices that they lie around
    "as many rows as needed": (None, None, 120, 40),
    "surplus capacity and unused points": ((128, 256, 128, 384, 128), 90, 120, 40),
    "too small a capacity": ((128,) * 5, None, 250, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_kernel_and_torch_have_the_same_gradients(case: str, device: torch.device):
    capacity, used, count, n_vertices = CASES[case]
    points = some_points(used, count, n_vertices)
    fast_inputs = learnable(device, points)
    fast = carried_with_graph(*fast_inputs, "triton", capacity)
    included = fast.slots >= 0  # elsewhere no row was filled
    value = weighted(fast, included)
    value.backward()
    slow_inputs = learnable(device, dataclasses.replace(points, used=None))
    expected = weighted(carried_with_graph(*slow_inputs, "torch"), included)
    expected.backward()
    torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-4)
    fast_grads, slow_grads = gradients(*fast_inputs), gradients(*slow_inputs)
    assert set(fast_grads) == set(INPUTS)
    for name, slow in slow_grads.items():
        assert (slow.flatten(1).abs().amax(1) > 0.1).any() and slow.abs().max() > 1
        torch.testing.assert_close(fast_grads[name], slow, atol=1e-5 * float(slow.abs().max()), rtol=1e-4)
    assert (slow_grads["world_from_posed"][:, :3].abs() > 0.01).all()  # of each frame
    alone = ~included.any(0).cpu()
    assert alone.any() and (fast_grads["position"][alone] == 0).all()
    assert bool((fast.needed > 128).any()) == (case == "too small a capacity")


def test_tensors_that_need_no_gradient_get_none(device: torch.device):
    points = some_points(count=60, n_vertices=16)
    together = learnable(device, points)
    pairs = carried_with_graph(*together, "triton", (128, 128))
    weighted(pairs, pairs.slots >= 0).backward()
    expected = gradients(*together)
    for name in INPUTS:
        inputs = learnable(device, points, (name,))
        pairs = carried_with_graph(*inputs, "triton", (128, 128))
        assert not pairs.normal.requires_grad
        weighted(pairs, pairs.slots >= 0).backward()
        found = gradients(*inputs)
        assert set(found) == {name}
        torch.testing.assert_close(found[name], expected[name], atol=1e-4, rtol=1e-4)
    pairs = carried_with_graph(*learnable(device, points, ()), "triton", (128, 128))
    assert not pairs.x.requires_grad and not pairs.rotation.requires_grad


def test_gradients_may_come_in_any_layout(device: torch.device):
    bodies, points = learnable(device, some_points(count=60, n_vertices=16))
    pairs = carried_with_graph(bodies, points, "triton", (128, 128))
    inputs = bodies.world_from_posed, bodies.canonical_from_posed, points.position

    def found(*upstream: torch.Tensor | None) -> list[torch.Tensor]:
        outputs = [out for out, grad in zip((pairs.x, pairs.rotation), upstream) if grad is not None]
        grads = [grad for grad in upstream if grad is not None]
        return list(torch.autograd.grad(outputs, inputs, grads, retain_graph=True))

    def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
        for x, y in zip(first, second):
            assert x.abs().max() > 0.1
            torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)

    generator = torch.Generator().manual_seed(5)
    d_x = torch.randn(256, 3, generator=generator).to(device)
    d_rotation = torch.randn(256, 3, 3, generator=generator).to(device)
    both = found(d_x, d_rotation)
    same(found(d_x.t().contiguous().t(), d_rotation.permute(2, 1, 0).contiguous().permute(2, 1, 0)), both)
    same(found(d_x.repeat(1, 2)[:, :3], d_rotation.repeat(2, 1, 1).view(2, 256, 3, 3)[1]), both)
    one = torch.ones(1, device=device)
    constant = found(one.expand(256, 3), one.expand(256, 3, 3))
    same(constant, found(torch.ones_like(d_x), torch.ones_like(d_rotation)))
    same([x + y for x, y in zip(found(d_x, None), found(None, d_rotation))], both)


class FixedPairs:
    """A neighbour index that always returns the same pairs, so that candidates and weights never change."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs, self.n_parts = pairs, 5

    def query(self, points: torch.Tensor, frames: torch.Tensor, radius: float) -> Pairs:
        return self.pairs

    def tensors(self) -> Iterator[torch.Tensor]:
        yield self.pairs.distances

    def has_room(self, vertices: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def replace(self, frames: torch.Tensor, vertices: torch.Tensor) -> None:
        raise NotImplementedError


def bodies_of(poses: torch.Tensor) -> PosedBodies:
    """The toy in poses (F, J + 2, 3): joint rotations, and the root's orientation and translation."""
    template = small.on(toy.template(), poses.device)
    floats = {name: getattr(template, name).to(poses) for name in ("vertices", "lbs_weights", "joints", "uv")}
    some = [BodyPose(pose[:-2], pose[-2], pose[-1]) for pose in poses]
    return PosedBodies.from_poses(
        dataclasses.replace(template, **floats), some, torch.arange(len(poses), device=poses.device)
    )


def test_pose_gradients_against_finite_differences(device: torch.device):
    """Through the kernels, for every joint and the root's orientation and translation, of a body at rest and another.

    The reference is plain PyTorch in double precision, with fixed candidates and weights. Its own gradients must agree
    with central differences, with steps of 1e-5 rad and m, to 1e-8 of the largest gradient; the error of the
    differences is of the order of the squared step, 1e-10. In single precision each component is a sum over hundreds of
    rows that largely cancel, in any order. 1e-5 of the largest gradient is about fifty times the rounding error on a
    CPU.
    """
    start = torch.stack([torch.cat([x.view(-1, 3) for x in vars(toy.pose(frame)).values()]) for frame in (0, 2)])
    points = some_points(count=120, n_frames=2)
    on_device = small.on(points, device)
    base = bodies_of(start.to(device))
    grid = GridNeighbors(base.vertices, small.on(small.part_points(), device), 0.03, 0.16)
    found = small.on(grid.query(base.to_posed(on_device.position, on_device.frame), on_device.frame, 0.12), CPU)
    fixed = FixedPairs(dataclasses.replace(found, distances=found.distances.double()))
    double = dataclasses.replace(points, position=points.position.double(), direction=points.direction.double())

    def reference(poses: torch.Tensor, included: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = InverseSkinning(0.12, 0.05, 0.02, "torch")(double, bodies_of(poses), fixed)
        chosen = pairs.slots >= 0
        assert included is None or torch.equal(chosen, included)
        return weighted(pairs, chosen), chosen

    poses = start.double().requires_grad_()
    value, included = reference(poses)
    (exact,) = torch.autograd.grad(value, poses)
    greatest = float(exact.abs().max())
    assert (exact.abs().amax(2) > 0.01 * greatest).all() and included.any(1).all()

    differences, step = torch.zeros_like(exact), 1e-5
    for index in range(exact.numel()):
        shift = torch.zeros(exact.numel(), dtype=torch.float64)
        shift[index] = step
        shift = shift.view_as(exact)
        ahead, behind = reference(start + shift, included)[0], reference(start - shift, included)[0]
        differences.view(-1)[index] = (ahead - behind).item() / (2 * step)
    torch.testing.assert_close(exact, differences, atol=1e-8 * greatest, rtol=0)

    for kernels in ("triton", "torch"):
        single = start.to(device, copy=True).requires_grad_()
        pairs = InverseSkinning(0.12, 0.05, 0.02, kernels)(on_device, bodies_of(single), grid)
        assert torch.equal(pairs.slots.cpu() >= 0, included)
        weighted(pairs, included.to(device)).backward()
        torch.testing.assert_close(single.grad.cpu().double(), exact, atol=1e-5 * greatest, rtol=0)


@pytest.mark.gpu
def test_forward_and_backward_in_a_cuda_graph():
    device = torch.device("cuda")
    bodies, points = learnable(device, some_points(250, 300))
    grid = GridNeighbors(bodies.vertices, small.on(small.part_points(), device), 0.03, 0.16)
    skinning = InverseSkinning(0.12, 0.05, 0.02, "triton")
    inputs = bodies.world_from_posed, bodies.canonical_from_posed, points.position

    def step() -> tuple[torch.Tensor, ...]:
        pairs = skinning(points, bodies, grid, capacity=(256,) * 5)
        value = pairs.x.square().sum() + (pairs.rotation * pairs.x[:, None]).sum()
        return torch.autograd.grad(value, inputs)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        points.position.add_(0.01)
        bodies.world_from_posed[:, :3, 3] += 0.01
        bodies.world_from_posed[0, :3, 3] += 0.02
    graph.replay()
    for mine, expected in zip(captured, step()):
        assert expected.abs().max() > 1
        torch.testing.assert_close(mine, expected, atol=1e-3, rtol=1e-4)
