"""Occupancy: stored densities, marks, and unused rows."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from torch import nn

from hashhuman.field.occupancy import CellRows, Occupancy
from hashhuman.field.parts import PartsField
from hashhuman.gpu.part_rows import PartRows
from tests.hashhuman import small

R, THRESHOLD, DECAY = 5, 1.0, 0.5


class Blocks(PartsField):
    """Two parts with a constant density in each cell, and a large one in unused rows, which must have no effect."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.n_parts, self.low, self.extent = 2, torch.zeros(2, 3), torch.ones(2)
        self.values = torch.zeros(2, R, R, R)

    def density(self, unit: torch.Tensor, rows: PartRows) -> torch.Tensor:
        """The density of each position's cell."""
        part = torch.arange(2).repeat_interleave(torch.tensor(rows.sizes))
        assert (unit >= 0).all() and (unit <= 1).all()
        x, y, z = (unit * R).long().clamp_max(R - 1).unbind(1)
        return torch.where(rows.mask(), self.values[part, x, y, z], 1e9)


def made() -> tuple[Blocks, Occupancy]:
    field = Blocks()
    return field, Occupancy(field, R, THRESHOLD, DECAY)


def every() -> CellRows:
    return CellRows(torch.arange(2 * R**3), R**3, 2)


def dilated(held: torch.Tensor) -> np.ndarray:
    """Each part's cells and the 26 around each."""
    return np.stack([binary_dilation(part, np.ones((3, 3, 3))) for part in held.numpy()])


def marks(occupancy: Occupancy) -> np.ndarray:
    return occupancy.marked.view(2, R, R, R).numpy() > 0


def test_all_cells_are_marked_at_first():
    field, occupancy = made()
    cells = occupancy.cells(field)
    assert marks(occupancy).all() and cells.marked is occupancy.marked and cells.resolution == R
    assert cells.low is field.low and cells.extent is field.extent
    assert occupancy.state_dict().keys() == {"density", "marked", "allowed"}  # checkpoints store all


@pytest.mark.parametrize("cell", [(0, 2, 2, 3), (0, 0, 0, 0), (1, 4, 4, 4), (1, 0, 2, 4)])
def test_an_occupied_cell_and_its_neighbours_are_marked(cell):
    field, occupancy = made()
    field.values[cell] = 10.0
    occupancy.update(field, every())
    np.testing.assert_array_equal(marks(occupancy), dilated(field.values > THRESHOLD))
    torch.testing.assert_close(occupancy.density, field.values)


def test_many_occupied_cells():
    field, occupancy = made()
    field.values = 1.3 * torch.rand(field.values.shape, generator=torch.Generator().manual_seed(0)) ** 4
    field.values[1, 2:] = 3.0
    occupancy.update(field, every())
    assert 0.3 < marks(occupancy).mean() < 0.95
    np.testing.assert_array_equal(marks(occupancy), dilated(field.values > THRESHOLD))


def test_density_that_vanishes_decays():
    field, occupancy = made()
    cells = occupancy.cells(field)
    field.values[0, 1, 1, 1] = 10.0
    occupancy.update(field, every())
    field.values.zero_()
    for remembered in (5.0, 2.5, 1.25, 0.625):
        occupancy.update(field, every())
        assert occupancy.density[0, 1, 1, 1] == remembered and occupancy.density.sum() == remembered
        assert cells.marked.any() == (remembered > THRESHOLD)  # also in the cells that were returned before


def test_growth_is_found_at_the_border_of_marked_cells():
    """Density that appears among unmarked cells is ignored, because training did not put it there."""
    field, occupancy = made()
    field.values[1, 1, 1, 1] = 10.0
    occupancy.update(field, every())
    field.values[1, 2, 1, 1] = 5.0
    field.values[0, 2, 2, 2] = field.values[1, 4, 1, 1] = 9.0
    occupancy.update(field, every())
    seen = field.values.clone()
    seen[0, 2, 2, 2] = seen[1, 4, 1, 1] = 0
    torch.testing.assert_close(occupancy.density, seen)
    np.testing.assert_array_equal(marks(occupancy), dilated(seen > THRESHOLD))
    occupancy.update(field, every())
    torch.testing.assert_close(occupancy.density, seen)
    field.values[1, 3, 1, 1] = 5.0
    for _ in range(2):
        occupancy.update(field, every())
    seen[1, 3, 1, 1], seen[1, 4, 1, 1] = 5.0, 9.0
    torch.testing.assert_close(occupancy.density, seen)


def test_only_the_given_cells_are_updated():
    """The other cells keep their stored density, or stay unknown."""
    field, occupancy = made()
    some = torch.tensor([7, 60, 61, R**3 + 4, 60])
    occupancy.update(field, CellRows(some, R**3, 2))
    expected = torch.full((2 * R**3,), torch.inf)
    expected[some] = 0
    torch.testing.assert_close(occupancy.density.flatten(), expected)
    np.testing.assert_array_equal(marks(occupancy).flatten(), expected > 0)  # cells that were never updated stay marked
    field, occupancy = made()
    field.values[:] = 4.0
    occupancy.update(field, every())
    field.values[:] = 0.0
    occupancy.update(field, CellRows(some, R**3, 2))
    expected = torch.full((2 * R**3,), 4.0)
    expected[some] = 2.0
    torch.testing.assert_close(occupancy.density.flatten(), expected)


def test_a_part_without_cells():
    field, occupancy = made()
    rows = CellRows(torch.arange(R**3, 2 * R**3), R**3, 2)
    assert rows.rows.sizes[0] == 0
    occupancy.update(field, rows)
    assert marks(occupancy)[0].all() and not marks(occupancy)[1].any()


def test_updates_sample_all_of_a_cell():
    """A field that fills half of each cell is found in most cells after one update, and in nearly all after a few."""
    field = Blocks()
    field.density = lambda unit, rows: 8.0 * ((unit[:, 0] * R) % 1 < 0.5)
    occupancy = Occupancy(field, R, THRESHOLD, 0.99)
    torch.manual_seed(0)
    occupancy.update(field, every())
    assert 0.65 < (occupancy.density == 8).float().mean() < 0.85  # three quarters
    for _ in range(4):
        occupancy.update(field, every())
    assert (occupancy.density > THRESHOLD).float().mean() > 0.99


def test_cells_arranged_by_part():
    arranged = CellRows(torch.tensor([130, 3, 3, 249, 77, 130]), R**3, 2)
    assert arranged.rows.used.tolist() == [2, 2]
    mask = arranged.rows.mask()
    assert arranged.index[mask].tolist() == [3, 77, 130, 249]
    assert torch.isin(arranged.index, torch.tensor([3, 77, 130, 249])).all()  # unused rows touch no other cell
    part = torch.arange(2).repeat_interleave(torch.tensor(arranged.rows.sizes))
    assert torch.equal(arranged.index // R**3, part)


def test_stored_densities_of_a_real_field():
    """Each cell stores a density that the field has inside the cell."""
    field = small.field()[0]
    torch.nn.init.normal_(field.encoder.table, std=0.5, generator=torch.Generator().manual_seed(0))
    occupancy = Occupancy(field, R, THRESHOLD, DECAY)
    cells = CellRows(torch.arange(5 * R**3), R**3, 5)
    torch.manual_seed(0)
    occupancy.update(field, cells)
    corner = torch.stack(torch.unravel_index(cells.index % R**3, (R, R, R)), 1)
    with torch.no_grad():
        tried = [
            field.density((corner + torch.rand(corner.shape)) / R, cells.rows)[cells.rows.mask()] for _ in range(30)
        ]
    least, most = torch.stack(tried).aminmax(dim=0)
    found = occupancy.density.flatten()
    assert ((found > least / 1.2) & (found < most * 1.2)).float().mean() > 0.99 and found.std() > 1
