"""The voxel grid against the exact search, and the exact search against scipy's."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from hashhuman.errors import UserError
from hashhuman.neighbors import NeighborIndex, Pairs
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.neighbors.grid import EMPTY, GridNeighbors
from tests.hashhuman import small
from tests.hashhuman.neighbors.queries import dense_body, queries, toy_body

VOXEL, RADIUS = 0.025, 0.06
REACH = RADIUS + 0.87 * VOXEL  # so that no node that a query needs is empty


def table(pairs: Pairs, n_points: int, n_parts: int = 2) -> torch.Tensor:
    """Distance found for each part and point, P x N; inf where there is no pair."""
    distances = torch.full((n_parts, n_points), torch.inf)
    distances[pairs.part, pairs.point] = pairs.distances.amin(1)
    return distances


def test_brute_computes_a_bounded_number_of_distances_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """A picture asks about a million points: all distances at once exceed what CUDA takes, and the memory."""
    vertices, parts = toy_body()
    points, frames = queries(vertices, 300)
    whole = BruteNeighbors(vertices, parts, k=4).query(points, frames, RADIUS)
    sizes, cdist = [], torch.cdist

    def counted(x: torch.Tensor, y: torch.Tensor, **options) -> torch.Tensor:
        sizes.append(len(x) * len(y))
        return cdist(x, y, **options)

    monkeypatch.setattr(torch, "cdist", counted)
    monkeypatch.setattr("hashhuman.neighbors.brute.MAX_DISTANCES", 500)
    pieces = BruteNeighbors(vertices, parts, k=4).query(points, frames, RADIUS)
    assert len(sizes) > 20 and max(sizes) <= 500
    for name in ("point", "part", "vertices", "distances"):
        torch.testing.assert_close(getattr(pieces, name), getattr(whole, name))


@pytest.mark.parametrize("body", [toy_body, dense_body])
def test_brute_agrees_with_scipy(body):
    vertices, parts = body()
    points, frames = queries(vertices, 300)
    pairs = BruteNeighbors(vertices, parts, k=4).query(points, frames, RADIUS)
    assert isinstance(BruteNeighbors(vertices, parts), NeighborIndex)
    expected = 0
    for index, part in enumerate(parts):
        for frame in range(len(vertices)):
            chosen = (frames == frame).nonzero()[:, 0].numpy()
            distances, columns = cKDTree(vertices[frame, part].double().numpy()).query(points[chosen].numpy(), 4)
            mine = {int(q): row for row, q in enumerate(pairs.point) if pairs.part[row] == index}
            for query, row, column in zip(chosen, distances, columns):
                if row[0] < RADIUS - 1e-5:
                    expected += 1
                    np.testing.assert_allclose(pairs.distances[mine[query]], row, atol=1e-5)
                    assert pairs.vertices[mine[query], 0] == part[column[0]]
                elif row[0] > RADIUS + 1e-5:
                    assert query not in mine
    assert expected > 100 and abs(expected - len(pairs.point)) <= 1
    assert pairs.part.tolist() == sorted(pairs.part.tolist())


def test_grid_equals_brute_where_points_are_sparser_than_voxels():
    vertices, parts = toy_body()
    points, frames = queries(vertices)
    grid = GridNeighbors(vertices, parts, VOXEL, REACH).query(points, frames, RADIUS)
    brute = BruteNeighbors(vertices, parts).query(points, frames, RADIUS)
    assert isinstance(GridNeighbors(vertices, parts), NeighborIndex)
    assert len(brute.point) > 1000
    torch.testing.assert_close(grid.point, brute.point)
    torch.testing.assert_close(grid.part, brute.part)
    torch.testing.assert_close(grid.distances.amin(1), brute.distances[:, 0])
    nearest = grid.vertices.gather(1, grid.distances.argmin(1, keepdim=True))
    torch.testing.assert_close(nearest, brute.vertices)


def test_grid_errs_by_less_than_a_voxels_diagonal_where_points_are_denser():
    vertices, parts = dense_body()
    points, frames = queries(vertices)
    found = table(GridNeighbors(vertices, parts, VOXEL, REACH).query(points, frames, RADIUS), len(points))
    true = table(BruteNeighbors(vertices, parts).query(points, frames, 1.0), len(points))
    assert true.isfinite().all()
    excess = found - true
    near = found.isfinite()
    assert (excess > -1e-6).all()  # nothing is nearer than the nearest
    # A point can only be missed if its distance plus a voxel's diagonal, the largest error, exceeds the radius.
    diagonal = 3**0.5 * VOXEL
    assert (excess[near] < diagonal).all()
    assert near[true < RADIUS - diagonal].all() and not near[true > RADIUS].any()
    missed = (~near & (true < RADIUS)).sum() / (true < RADIUS).sum()
    assert missed < 0.01
    # The grid is really not exact here.
    assert (excess[near] > 0.2 * VOXEL).any()
    assert excess[near].quantile(0.5) < 0.1 * VOXEL


def test_grid_comes_closer_with_smaller_voxels():
    vertices, parts = dense_body(1)
    points, frames = queries(vertices)
    true = table(BruteNeighbors(vertices, parts).query(points, frames, 1.0), len(points))
    mean = []
    for voxel in (0.04, 0.02):
        found = table(GridNeighbors(vertices, parts, voxel, RADIUS + 0.87 * voxel).query(points, frames, RADIUS), 4000)
        mean.append(float((found - true)[found.isfinite()].mean()))
    assert mean[0] > 1.5 * mean[1]


def test_candidates_are_true_neighbours():
    vertices, parts = dense_body()
    points, frames = queries(vertices, 500)
    pairs = GridNeighbors(vertices, parts, VOXEL, REACH).query(points, frames, RADIUS)
    present = pairs.distances.isfinite()
    away = (vertices[frames[pairs.point, None], pairs.vertices] - points[pairs.point, None]).norm(dim=-1)
    torch.testing.assert_close(pairs.distances[present], away[present])
    assert ((pairs.vertices >= 0) & (pairs.vertices < vertices.shape[1])).all()  # absent ones too, as `Pairs` promises
    for index, part in enumerate(parts):
        assert torch.isin(pairs.vertices[(pairs.part == index)[:, None] & present], part).all()


def test_kernel_and_torch_fill_the_same_grids(device: torch.device):
    """Keys may differ by one step of the stored distance, because of rounding."""
    vertices, parts = (small.on(values, device) for values in toy_body())
    theirs = GridNeighbors(vertices, parts, VOXEL, REACH, kernels="torch")
    mine = GridNeighbors(vertices, parts, VOXEL, REACH, kernels="triton")
    filled = mine.keys != EMPTY
    assert filled.float().mean() > 0.1 and torch.equal(filled, theirs.keys != EMPTY)
    far, near = mine.keys[filled] >> 16, theirs.keys[filled] >> 16
    assert (far - near).abs().max() <= 1
    same = (mine.keys & 0xFFFF) == (theirs.keys & 0xFFFF)
    assert same[filled].float().mean() > 0.99  # two body points may be as near as each other


@pytest.mark.parametrize("kernels", ["torch", "triton"])
def test_capacity(kernels: str, device: torch.device):
    vertices, parts = (small.on(values, device) for values in toy_body())
    fitting = GridNeighbors(vertices, parts, VOXEL, REACH, kernels)
    needed = int(fitting.needed)
    points, frames = (values.to(device) for values in queries(vertices.cpu(), 500))
    pairs = fitting.query(points, frames, RADIUS)
    assert len(pairs.point) > 100
    for capacity in (needed, needed + 1000):
        ample = GridNeighbors(vertices, parts, VOXEL, REACH, kernels, capacity)
        assert ample.needed == needed
        torch.testing.assert_close(ample.query(points, frames, RADIUS).distances, pairs.distances)
    short = GridNeighbors(vertices, parts, VOXEL, REACH, kernels, needed - 1)
    assert short.needed == needed and (short.keys == EMPTY).all()
    assert len(short.query(points, frames, RADIUS).point) == 0


def test_points_far_away_have_no_pairs():
    vertices, parts = toy_body()
    far = torch.full((7, 3), 50.0)
    for index in (GridNeighbors(vertices, parts), BruteNeighbors(vertices, parts)):
        pairs = index.query(far, torch.zeros(7, dtype=torch.long), RADIUS)
        assert len(pairs.point) == len(pairs.part) == len(pairs.vertices) == len(pairs.distances) == 0
        assert len(index.query(far[:0], torch.zeros(0, dtype=torch.long), RADIUS).point) == 0


def test_too_many_body_points_are_refused():
    with pytest.raises(UserError, match=r"at most 32767 body points, not 40000: lower neighbors\.max_points"):
        GridNeighbors(torch.zeros(1, 40000, 3), [torch.arange(40000)])


@pytest.mark.gpu
def test_gpu_and_cpu_find_the_same():
    vertices, parts = dense_body()
    points, frames = queries(vertices)
    cpu = GridNeighbors(vertices, parts, VOXEL, REACH).query(points, frames, RADIUS)
    index = GridNeighbors(vertices.cuda(), [part.cuda() for part in parts], VOXEL, REACH)
    gpu = index.query(points.cuda(), frames.cuda(), RADIUS)
    gpu = Pairs(gpu.point.cpu(), gpu.part.cpu(), gpu.vertices.cpu(), gpu.distances.cpu())
    torch.testing.assert_close(table(gpu, len(points)), table(cpu, len(points)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("body", [toy_body, dense_body])
def test_the_loop_fills_the_same_grids(body):
    vertices, parts = body()
    vertices[1, 0] += 0.3  # near the edge of its part's grid
    slow, fast = (GridNeighbors(vertices, parts, VOXEL, REACH, kernels) for kernels in ("torch", "numba"))
    assert (slow.keys != EMPTY).float().mean() > 0.05
    same = slow.keys == fast.keys
    assert same.float().mean() > 0.999  # where two points are equally near, or a distance is rounded otherwise
    units = (slow.keys[~same] >> 16) - (fast.keys[~same] >> 16)
    assert (slow.keys == EMPTY).sum() == (fast.keys == EMPTY).sum() and (units.abs() <= 1).all()
