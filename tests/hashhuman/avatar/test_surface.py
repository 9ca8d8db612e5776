"""Heights and colours over two pillars: what is read, mirrored and drawn."""

import math

import pytest
import torch
from torch import nn

from hashhuman.avatar.prediction import Prediction
from hashhuman.avatar.surface import STEP, Surface
from hashhuman.body.spreading import SurfaceGraph
from hashhuman.data.batch import RayBatch
from hashhuman.deformer.pairs import CanonicalPairs
from hashhuman.field.base import CanonicalField
from hashhuman.geometry.rays import Rays
from hashhuman.renderer.volume import Rendering, Samples
from hashhuman.training.losses import CompletionLoss
from tests.hashhuman import pillars

BODY = pillars.body()
HALF = len(BODY.canonical_vertices) // 2
PARTS = [torch.arange(HALF), HALF + torch.arange(HALF)]
OPPOSITE = torch.cat([HALF + torch.arange(HALF), torch.arange(HALF)])
REACH, DEPTH, CLOTHES = 0.08, 0.03, 0.02


class Dressed(CanonicalField):
    """Both pillars wear 2 cm and are opaque inside. The left one's colour depends on the place, the right is black."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(2, 3), torch.ones(2))

    def forward(self, pairs: CanonicalPairs) -> tuple[torch.Tensor, torch.Tensor]:
        """Colour and density of the places."""
        x = pairs.points.position
        radius = torch.hypot(x[:, 0].abs() - pillars.APART, x[:, 2])
        return colors(x) * (x[:, :1] > 0), torch.where(radius < pillars.RADIUS + CLOTHES, 2000.0, 0.0)


def colors(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x[:, 1] + 0.5, (x[:, 0].abs() - pillars.APART) + 0.5, x[:, 2] + 0.5], 1)


def surface(seen: torch.Tensor, mirror: bool = True) -> Surface:
    count = 2 * HALF
    away = torch.full((count,), 0.0 if mirror else 1.0)
    graph = SurfaceGraph(BODY.canonical_vertices, BODY.canonical_normals)
    ceiling, light = torch.full((count,), REACH), torch.tensor([0.0, 0.0, 1.0])
    return Surface(BODY, PARTS, graph, seen, (OPPOSITE, away), ceiling, REACH, DEPTH, light)


def left() -> torch.Tensor:
    return torch.arange(2 * HALF) < HALF


def test_heights_and_colours_are_read_where_they_were_seen():
    made = surface(torch.ones(2 * HALF, dtype=torch.bool))
    made.read(Dressed())
    assert (made.height - CLOTHES).abs().max() < 2 * STEP
    over = BODY.canonical_vertices + CLOTHES * BODY.canonical_normals
    torch.testing.assert_close(made.color[:HALF], colors(over[:HALF]), atol=0.03, rtol=0)
    assert made.color[HALF:].abs().max() < 1e-6


def test_what_was_not_seen_is_mirrored():
    """The field is black at the right pillar, and the completed colours are those of the left."""
    made = surface(left())
    made.read(Dressed())
    torch.testing.assert_close(made.color[HALF:], colors(BODY.canonical_vertices[:HALF]), atol=0.04, rtol=0)
    torch.testing.assert_close(made.height[HALF:], made.height[:HALF])


def test_without_a_seen_opposite_values_come_from_the_points_around():
    middle = BODY.canonical_vertices[:, 1].abs() < 0.1
    made = surface(~middle, mirror=False)
    made.read(Dressed())
    assert (made.height - CLOTHES).abs().max() < 2 * STEP
    gap = middle & left()
    torch.testing.assert_close(made.color[gap], colors(BODY.canonical_vertices[gap]), atol=0.08, rtol=0)


def test_nothing_is_read_from_empty_space():
    """Seen points over which the field has nothing get what is around them, not black."""

    class Bitten(Dressed):
        def forward(self, pairs: CanonicalPairs) -> tuple[torch.Tensor, torch.Tensor]:
            color, density = super().forward(pairs)
            bite = pairs.points.position[:, 1].abs() < 0.06
            return color * ~bite[:, None], density * ~bite

    made = surface(torch.ones(2 * HALF, dtype=torch.bool))
    made.read(Bitten())
    bitten = left() & (BODY.canonical_vertices[:, 1].abs() < 0.06)
    assert (made.height[bitten] > CLOTHES - 2 * STEP).all() and (made.color[bitten] > 0.2).all()


def test_later_readings_start_from_the_last_one():
    """They take a tenth of the rounds, and come to the same."""
    made = surface(~(BODY.canonical_vertices[:, 1].abs() < 0.1), mirror=False)
    made.read(Dressed())
    height, color = made.height.clone(), made.color.clone()
    made.read(Dressed())
    torch.testing.assert_close(made.height, height, atol=1e-4, rtol=0)
    torch.testing.assert_close(made.color, color, atol=1e-3, rtol=0)


def test_reading_keeps_addresses():
    made = surface(left())
    addresses = made.height.data_ptr(), made.color.data_ptr(), made.seen.data_ptr(), made.ceiling.data_ptr()
    made.read(Dressed())
    made.update(~left(), torch.zeros(2 * HALF))
    assert addresses == (
        made.height.data_ptr(), made.color.data_ptr(), made.seen.data_ptr(), made.ceiling.data_ptr()
    )  # fmt: skip
    assert torch.equal(made.seen, ~left()) and not made.ceiling.any()


def test_places_are_drawn_all_around_the_surface():
    made = surface(left())
    made.read(Dressed())
    torch.manual_seed(0)
    drawn = made.draw(1280)
    x, part = drawn.pairs.x, drawn.pairs.part()
    assert torch.equal(x[:, 0] > 0, part == 0) and drawn.pairs.rows.mask().all()
    assert torch.equal(drawn.unseen, part == 1)
    height = torch.hypot(x[:, 0].abs() - pillars.APART, x[:, 2]) - pillars.RADIUS
    assert (height - (drawn.above + CLOTHES)).abs().max() < 0.02  # triangles cut across the circle
    assert height.min() < -DEPTH + 0.01 and height.max() > REACH - 0.01
    angle = torch.atan2(x[:, 2], x[:, 0].abs() - pillars.APART)
    assert torch.histc(angle, 48, -math.pi, math.pi).min() > 10  # also between the body's points
    torch.testing.assert_close(drawn.above_ceiling, drawn.above + CLOTHES - REACH, atol=2 * STEP, rtol=0)


def test_heights_end_where_the_other_pillar_is_nearer():
    near = pillars.body(apart=0.13)  # 6 cm between the pillars
    graph = SurfaceGraph(near.canonical_vertices, near.canonical_normals)
    nothing = torch.zeros(2 * HALF, dtype=torch.bool)
    made = Surface(
        near, PARTS, graph, nothing, (OPPOSITE, torch.zeros(2 * HALF)), torch.full((2 * HALF,), REACH),
        REACH, DEPTH, torch.tensor([0.0, 0.0, 1.0]),
    )  # fmt: skip
    inner = (near.canonical_normals[:, 0] * near.canonical_vertices[:, 0].sign()) < -0.99
    outer = (near.canonical_normals[:, 0] * near.canonical_vertices[:, 0].sign()) > 0.99
    assert (made.clear[inner] < 0.055).all() and (made.clear[inner] > 0.02).all()
    torch.testing.assert_close(made.clear[outer], torch.full_like(made.clear[outer], REACH))


class Constant(nn.Module):
    """The same colour and density everywhere, learned."""

    def __init__(self, density: float, color: float) -> None:
        super().__init__()
        self.log_density, self.color = nn.Parameter(torch.tensor(math.log(density))), nn.Parameter(torch.tensor(color))

    def forward(self, pairs: CanonicalPairs) -> tuple[torch.Tensor, torch.Tensor]:
        """Colour and density of the places."""
        n_rows = len(pairs.point)
        return self.color.expand(n_rows, 3), self.log_density.exp().expand(n_rows)


def prediction(field: nn.Module, made: Surface | None) -> Prediction:
    """A step whose rays met nothing."""
    none, zero = torch.zeros(0), torch.zeros(4)
    samples = Samples(none.long(), none, none, torch.zeros(5, dtype=torch.long), zero == 0, torch.zeros(1).long())
    rays = Rays(torch.zeros(4, 3), torch.ones(4, 3), torch.zeros(4, dtype=torch.long))
    return Prediction(
        batch=RayBatch(rays, torch.zeros(4, 3), zero, torch.zeros(4, 3)),
        rendering=Rendering(torch.zeros(4, 3), zero, zero, none, samples),
        field=field,
        surface=made,
    )


def test_the_loss_by_hand():
    """Heights are uniform from -3 to 8 cm; the surface is at 2 cm, and the right pillar is unseen."""
    made = surface(left())
    made.read(Dressed())
    made.height.fill_(CLOTHES)
    made.color.fill_(0.25)
    field = Constant(100.0, 0.75)
    torch.manual_seed(0)
    loss = CompletionLoss(1.0, 12800, 1.0, 0.02, 0.01)(prediction(field, made))
    empty, solid, colored = 4 / 11, 5 / 11 / 2, 7 / 11 / 2
    expected = empty * 0.5 + solid * 0.5 + colored * 0.25
    assert float(loss.detach()) == pytest.approx(expected, rel=0.03)
    loss.backward()
    assert field.log_density.grad is not None and field.color.grad is not None
    slope = (empty - solid) * 0.25  # d/d log density, at an optical depth of 1
    assert float(field.log_density.grad) == pytest.approx(slope, rel=0.1)
    assert float(field.color.grad) == pytest.approx(colored * 2 * 0.5, rel=0.05)


def test_only_emptiness_is_asked_of_what_was_seen():
    made = surface(torch.ones(2 * HALF, dtype=torch.bool))
    field = Constant(1e-6, 0.9)
    assert float(CompletionLoss(1.0, 1280, 1.0, 0.02, 0.01)(prediction(field, made)).detach()) < 1e-6


def test_a_low_ceiling_empties_what_is_above():
    made = surface(torch.ones(2 * HALF, dtype=torch.bool))
    made.height.fill_(REACH)
    loss, field = CompletionLoss(1.0, 12800, 1.0, 0.02, 0.01), Constant(1e8, 0.5)
    assert float(loss(prediction(field, made)).detach()) < 1e-6
    made.ceiling.zero_()
    assert float(loss(prediction(field, made)).detach()) == pytest.approx(6 / 11, rel=0.05)


def test_the_loss_is_zero_without_a_surface():
    assert float(CompletionLoss(1.0, 128, 1.0, 0.02, 0.01)(prediction(Constant(1.0, 0.5), None))) == 0


def test_what_was_seen_counts_less():
    """Both pillars are asked to be empty everywhere; the right one, which was not seen, always with full weight."""
    made = surface(left())
    made.height.fill_(REACH)
    made.color.fill_(0.5)
    made.ceiling.fill_(-1.0)  # empty everywhere
    values = [
        float(CompletionLoss(1.0, 1280, seen, 0.02, 0.01)(prediction(Constant(100.0, 0.5), made)).detach())
        for seen in (1.0, 0.1, 0.0)
    ]
    assert values == pytest.approx([0.5, 0.5 * 0.55, 0.25])
