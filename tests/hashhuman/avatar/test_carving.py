"""Carving against a pillar whose outline is known by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from hashhuman.avatar import carving
from hashhuman.avatar.carving import Carving, allowed_cells, surface_spacing
from hashhuman.body.spreading import SurfaceGraph
from hashhuman.data.outlines import Outlines
from hashhuman.deformer.cells import Cells
from tests.hashhuman import pillars

DRESSED, REACH, VIEWS, R = 0.13, 0.08, 16, 24
BODY = pillars.body(apart=0.0)
GRAPH = SurfaceGraph(BODY.canonical_vertices, BODY.canonical_normals)
CARVING = Carving(share=0.2, least=2, margin=1.0, slack=0.0)


def outlines(half_widths: list[float] | None = None) -> Outlines:
    """Pictures from all around of a pillar that wears 3 cm."""
    widths = half_widths or [pillars.columns(DRESSED)] * VIEWS
    cameras = [pillars.camera(2 * math.pi * i / len(widths)) for i in range(len(widths))]
    return Outlines.of(pillars.crops(widths), cameras, [0] * len(widths), 100, "cpu")


def around(radius: float, count: int = 7) -> torch.Tensor:
    angle = torch.arange(count) + 0.1
    return torch.stack([radius * angle.cos(), 0.02 * angle, radius * angle.sin()], 1)


def by_hand(x: torch.Tensor, margin: float) -> np.ndarray:
    """In how many pictures each place is more than `margin` pixels beside the dressed pillar."""
    count = np.zeros(len(x), int)
    for i in range(VIEWS):
        turn = 2 * math.pi * i / VIEWS
        right = x[:, 0].numpy() * math.cos(turn) - x[:, 2].numpy() * math.sin(turn)
        toward = x[:, 0].numpy() * math.sin(turn) + x[:, 2].numpy() * math.cos(turn)
        pixels = pillars.FOCAL * np.abs(right) / (pillars.DISTANCE - toward)
        outermost = math.floor(pillars.columns(DRESSED) + 0.5) - 0.5  # centre of the last column of the pillar
        count += np.round(pixels - 0.5) + 0.5 - outermost > margin  # a place counts with its pixel
    return count


@pytest.mark.parametrize("margin", [1.0, 3.5])
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_places_are_empty_where_enough_pictures_say_so(margin: float, share: float):
    x = torch.cat([around(radius) for radius in (0.05, 0.1, 0.125, 0.14, 0.15, 0.16, 0.17, 0.18, 0.2)])
    carving = Carving(share, 2, margin, 0.0)
    empty = carving.empty(x, torch.zeros(len(x), dtype=torch.long), BODY, outlines())
    count = by_hand(x, margin)
    assert empty.tolist() == ((count >= 2) & (count >= share * VIEWS)).tolist()
    assert 0 < empty.sum() < len(x)


def test_a_radius_asks_for_emptiness_all_around():
    x, vertex = around(0.19), torch.zeros(7, dtype=torch.long)
    assert CARVING.empty(x, vertex, BODY, outlines()).all()
    assert not CARVING.empty(x, vertex, BODY, outlines(), radius=0.08).any()


def test_few_places_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch):
    x = torch.cat([around(radius) for radius in (0.1, 0.125, 0.14, 0.16)])
    vertex = torch.zeros(len(x), dtype=torch.long)
    whole = CARVING.empty(x, vertex, BODY, outlines())
    monkeypatch.setattr(carving, "AT_A_TIME", 5 * len(x))  # the pictures are no multiple of 5
    assert torch.equal(CARVING.empty(x, vertex, BODY, outlines()), whole) and 0 < whole.sum() < len(x)


def test_places_move_with_the_body():
    """A body that stands half a metre aside is filmed by cameras that stand as far aside."""
    aside = torch.tensor([0.5, 0.1, 0.0])
    moved = torch.eye(4)[None].clone()
    moved[0, :3, 3] = aside
    bodies = dataclasses.replace(BODY, world_from_posed=moved)
    seen = outlines()
    cameras = [pillars.moved(camera, aside) for camera in seen.cameras]
    seen = Outlines(seen.distance, seen.corner, cameras, seen.frames)
    x = torch.cat([around(radius) for radius in (0.1, 0.14, 0.18)])
    vertex = torch.zeros(len(x), dtype=torch.long)
    assert torch.equal(CARVING.empty(x, vertex, bodies, seen), CARVING.empty(x, vertex, BODY, outlines()))


def test_thickness_is_that_of_the_clothes():
    thickness, decided = CARVING.thickness(BODY, outlines(), GRAPH, REACH)
    assert decided.all()
    assert (thickness > 0.029).all() and (thickness < 0.05).all()


def test_one_wrong_mask_carves_no_hole():
    widths = [pillars.columns(DRESSED)] * VIEWS
    widths[3] = pillars.columns(0.02)
    right, _ = CARVING.thickness(BODY, outlines(), GRAPH, REACH)
    wrong, _ = CARVING.thickness(BODY, outlines(widths), GRAPH, REACH)
    assert (wrong >= right - 0.006).all() and (wrong > 0.024).all()
    eager = Carving(share=0.0, least=1, margin=1.0, slack=0.0)
    assert (eager.thickness(BODY, outlines(widths), GRAPH, REACH)[0] == 0).any()  # one vote would


def test_what_no_picture_decides_follows_its_neighbours():
    """Seen only from the front and back, the front's thickness is that of the sides."""
    front = [0.0, 0.02, -0.02, math.pi, math.pi + 0.02]
    cameras = [pillars.camera(turn) for turn in front]
    seen = Outlines.of(pillars.crops([pillars.columns(DRESSED)] * 5), cameras, [0] * 5, 100, "cpu")
    thickness, decided = CARVING.thickness(BODY, seen, GRAPH, REACH)
    sides = BODY.canonical_normals[:, 0].abs() > 0.99
    fronts = BODY.canonical_normals[:, 2].abs() > 0.99
    assert decided[sides].all() and not decided[fronts].any()
    assert (thickness[sides] < 0.045).all() and (thickness[fronts] < 0.07).all() and (thickness > 0.02).all()


def cells() -> Cells:
    side = 0.8
    low = torch.tensor([[-side / 2] * 3])
    return Cells(low, torch.tensor([side]), R, torch.ones(R**3, dtype=torch.uint8), (side / R,))


@pytest.mark.parametrize("half_width", [1.0, pillars.columns(DRESSED)])
def test_cells_of_the_surface_are_always_allowed(half_width: float):
    """Also where masks claim that the person is two pixels thin."""
    seen = outlines([half_width] * VIEWS)
    thickness, _ = CARVING.thickness(BODY, seen, GRAPH, REACH)
    allowed = allowed_cells(cells(), BODY, seen, CARVING, thickness, REACH)
    generator = torch.Generator().manual_seed(0)
    angle, level = 2 * math.pi * torch.rand(500, generator=generator), torch.rand(500, generator=generator) - 0.5
    surface = torch.stack([0.1 * angle.cos(), 0.5 * level, 0.1 * angle.sin()], 1)
    assert allowed[cells().index(surface, torch.zeros(500, dtype=torch.long))].all()


def test_cells_beyond_the_clothes_are_not_allowed():
    seen = outlines()
    thickness, _ = CARVING.thickness(BODY, seen, GRAPH, REACH)
    allowed = allowed_cells(cells(), BODY, seen, CARVING, thickness, REACH).view(R, R, R)
    axis = (torch.arange(R) + 0.5) / R * 0.8 - 0.4
    radius = torch.hypot(axis[:, None, None], axis[None, None, :]).expand(R, R, R)
    middle = (axis.abs() < 0.25)[None, :, None].expand(R, R, R)
    diagonal = 3**0.5 * 0.8 / R
    spacing = surface_spacing(BODY.canonical_vertices)
    assert allowed[middle & (radius < DRESSED)].all()
    assert not allowed[middle & (radius > DRESSED + 0.02 + diagonal + spacing)].any()
