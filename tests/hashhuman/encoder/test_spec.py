"""The layout of hash grids, by hand."""

import math

import pytest

from hashhuman.encoder.spec import HashGridSpec, Level


def test_layout_by_hand():
    # 4^3 = 64 nodes fit the 256 entries; 8^3 and 16^3 do not.
    levels = HashGridSpec(3, 2, log2_hashmap_size=8, base_resolution=4, per_level_scale=2.0).levels()
    assert levels == [
        Level(scale=3.0, resolution=4, size=64, offset=0, hashed=False),
        Level(scale=7.0, resolution=8, size=256, offset=64, hashed=True),
        Level(scale=15.0, resolution=16, size=256, offset=320, hashed=True),
    ]


def test_scales_between_whole_numbers_round_the_resolution_up():
    first, second = HashGridSpec(2, 2, 19, base_resolution=4, per_level_scale=1.3).levels()
    assert first.scale == 3 and first.resolution == 4
    assert math.isclose(second.scale, 4 * 1.3 - 1) and second.resolution == 6  # ceil(4.2) + 1


@pytest.mark.parametrize(
    ("base", "log2_hashmap_size", "size", "hashed"),
    [
        (3, 10, 32, False),  # 27 nodes, padded
        (5, 7, 128, False),  # 125 nodes, padded to the whole table
        (5, 6, 64, True),
        (6, 10, 216, False),  # a multiple of eight already
        (8, 9, 512, False),  # exactly as many as the table holds
        (9, 9, 512, True),
    ],
)
def test_tables_are_padded_to_eight_entries(base: int, log2_hashmap_size: int, size: int, hashed: bool):
    spec = HashGridSpec(1, 4, log2_hashmap_size, base, 2.0)
    (level,) = spec.levels()
    assert (level.size, level.hashed) == (size, hashed)
    assert spec.n_entries == size and spec.n_features == 4


def test_as_many_parameters_as_instant_ngp_has():
    """Its default grid (16 levels from 16 to 2048, T = 2^19, F = 2) is known to have 12,196,240 parameters."""
    spec = HashGridSpec(16, 2, 19, 16, 2 ** (math.log2(2048 / 16) / 15))
    assert 2 * spec.n_entries == 12_196_240 and spec.n_features == 32


def test_grids_by_the_size_of_their_cells():
    spec = HashGridSpec.from_voxels(1.0, 0.25, 0.03125, 4, 2, 12)
    assert (spec.base_resolution, spec.per_level_scale) == (4, 2.0)
    assert [level.scale + 1 for level in spec.levels()] == [4, 8, 16, 32]
    awkward = HashGridSpec.from_voxels(0.93, 0.2, 0.011, 7, 2, 12)
    cells = [0.93 / (level.scale + 1) for level in awkward.levels()]
    assert cells[0] <= 0.2 and math.isclose(cells[-1], 0.011)
    assert HashGridSpec.from_voxels(1.0, 0.1, 0.01, 1, 2, 12).levels()[0].resolution == 10
    assert HashGridSpec.from_voxels(0.1, 5.0, 1.0, 3, 2, 12).base_resolution == 2  # a grid has cells
