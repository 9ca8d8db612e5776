"""Values spread over surfaces: what is known stays, and the rest is harmonic."""

import math

import torch

from hashhuman.body.spreading import SurfaceGraph


def ring(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    angle = torch.arange(count) * 2 * math.pi / count
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(count)], 1)
    return points, points


def test_between_two_known_points_values_change_evenly():
    points, normals = ring()
    known = torch.zeros(40, dtype=torch.bool)
    known[[0, 20]] = True
    values = torch.zeros(40, 1)
    values[20] = 1
    values[5] = 77  # not known, so without effect
    found = SurfaceGraph(points, normals).spread(values, known, 3000)[:, 0]
    assert found[0] == 0 and found[20] == 1
    torch.testing.assert_close(found[10], torch.tensor(0.5), atol=1e-3, rtol=0)
    assert (found[:20].diff() > 0).all() and (found[20:].diff() < 0).all()
    torch.testing.assert_close(found[1:20], found[21:].flip(0), atol=1e-3, rtol=0)


def test_the_result_for_similar_values_is_a_good_start():
    points, normals = ring()
    graph, known = SurfaceGraph(points, normals), torch.arange(40) % 4 == 0
    values = points[:, :1] + 1
    exact, start = (graph.spread(some, known, 500) for some in (values, values * 0.98))
    near = graph.spread(values, known, 20, start)
    torch.testing.assert_close(near, exact, atol=1e-4, rtol=0)
    assert (start - exact).abs().max() > 0.01 and torch.equal(near[known], values[known])


def test_opposed_surfaces_hardly_mix():
    """Two sheets back to back: their points are near, but the normals are opposed."""
    x, y = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="ij")
    sheet = torch.stack([x.flatten(), y.flatten(), torch.zeros(36)], 1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand(36, 3)
    points, normals = torch.cat([sheet, sheet + 0.5 * up]), torch.cat([-up, up])
    values = torch.cat([torch.zeros(36, 1), torch.ones(36, 1)])
    known = torch.arange(72) % 36 < 6
    found = SurfaceGraph(points, normals).spread(values, known)[:, 0]
    assert found[:36].max() < 0.2 and found[36:].min() > 0.8


def test_nothing_known_is_zero():
    graph = SurfaceGraph(*ring())
    assert not graph.spread(torch.ones(40, 2), torch.zeros(40, dtype=torch.bool)).any()


def test_the_mean_of_a_constant():
    graph = SurfaceGraph(*ring())
    torch.testing.assert_close(graph.mean(torch.full((40, 3), 2.5)), torch.full((40, 3), 2.5))
