"""pytorch3d's search against the exact search by brute force, with a stand-in for the package."""

import sys
from collections import namedtuple
from types import ModuleType

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.neighbors import NeighborIndex, Pairs
from hashhuman.neighbors.brute import BruteNeighbors
from hashhuman.neighbors.pytorch3d_knn import PyTorch3dNeighbors
from tests.hashhuman.neighbors.queries import dense_body, queries, toy_body

RADIUS = 0.06
KNN = namedtuple("KNN", ["dists", "idx", "knn"])


def knn_points(p1, p2, lengths1=None, lengths2=None, norm=2, K=1, version=-1, return_nn=False, return_sorted=True):
    """The documented interface: squared distances; zeros beyond `lengths1`, and where p2 has fewer points than K."""
    assert p1.dtype == p2.dtype == torch.float32 and lengths1.dtype == torch.int64
    assert p1.shape[::2] == p2.shape[::2] and lengths1.max() == p1.shape[1]
    found = torch.cdist(p1, p2, compute_mode="donot_use_mm_for_euclid_dist").topk(min(K, p2.shape[1]), largest=False)
    beyond = (torch.arange(p1.shape[1]) >= lengths1[:, None])[..., None]
    missing = (0, K - found.values.shape[2])
    dists, idx = (x.masked_fill(beyond, 0) for x in (found.values.square(), found.indices))
    return KNN(torch.nn.functional.pad(dists, missing), torch.nn.functional.pad(idx, missing), None)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for pytorch3d."""
    package, ops = ModuleType("pytorch3d"), ModuleType("pytorch3d.ops")
    ops.knn_points = knn_points  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch3d", package)
    monkeypatch.setitem(sys.modules, "pytorch3d.ops", ops)


def compare(mine: Pairs, theirs: Pairs) -> None:
    """Asserts that results differ at most in the order of equally near candidates."""
    for name in ("point", "part"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name))
    torch.testing.assert_close(mine.distances, theirs.distances, atol=1e-5, rtol=1e-4)
    assert (mine.vertices == theirs.vertices).float().mean() > 0.99


@pytest.mark.parametrize("body", [toy_body, dense_body])
def test_it_finds_what_brute_finds(package, body):
    vertices, parts = body()
    points, frames = queries(vertices, 400)
    frames[frames == 1] = 0  # a body without queries
    index = PyTorch3dNeighbors(vertices, parts, k=4)
    assert isinstance(index, NeighborIndex)
    found = index.query(points, frames, RADIUS)
    assert len(found.point) > 100 and found.vertices.shape[1] == 4
    compare(found, BruteNeighbors(vertices, parts, k=4).query(points, frames, RADIUS))


def test_a_part_with_fewer_points_than_k(package):
    """The first part has two points and three candidates are asked for: the third does not exist."""
    vertices = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [0.0, 1, 0], [0.0, 2, 0], [0.0, 4, 0]]])
    parts = [torch.tensor([1, 0]), torch.tensor([2, 3, 4])]
    found = PyTorch3dNeighbors(vertices, parts, k=3).query(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), 9.0)
    torch.testing.assert_close(found.distances, torch.tensor([[0.0, 1.0, torch.inf], [1.0, 2.0, 4.0]]))
    assert found.vertices[:, :2].tolist() == [[0, 1], [2, 3]] and found.vertices[1, 2] == 4
    assert found.vertices[0, 2] in parts[0]


def test_no_points(package):
    vertices, parts = toy_body()
    found = PyTorch3dNeighbors(vertices, parts).query(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), RADIUS)
    assert found.point.shape == found.part.shape == (0,) and found.vertices.shape == (0, 1)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(UserError, match=r"package pytorch3d, which is not installed.*choose neighbors=grid"):
        PyTorch3dNeighbors(*toy_body())


@pytest.mark.gpu
@pytest.mark.parametrize("body", [toy_body, dense_body])
def test_the_package_finds_what_brute_finds(body):
    pytest.importorskip("pytorch3d.ops", exc_type=ImportError)
    vertices, parts = body()
    points, frames = queries(vertices)
    vertices, parts = vertices.cuda(), [part.cuda() for part in parts]
    points, frames = points.cuda(), frames.cuda()
    found = PyTorch3dNeighbors(vertices, parts, k=4).query(points, frames, RADIUS)
    compare(found, BruteNeighbors(vertices, parts, k=4).query(points, frames, RADIUS))
    assert len(PyTorch3dNeighbors(vertices, parts).query(points[:0], frames[:0], RADIUS).point) == 0
