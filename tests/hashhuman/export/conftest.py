"""A mesh that several tests look at: it is made once."""

import pytest

from hashhuman.export.exporter import Exports
from hashhuman.export.rigged import Rigging
from hashhuman.export.surface import SurfaceExtraction
from hashhuman.export.texture import Baking
from tests.hashhuman.export.solid import SolidAvatar, SolidData

THICK = 0.015  # metres of clothes over the body


def rigging(faces: int = 3000) -> Rigging:
    """Small sizes."""
    return Rigging(
        SurfaceExtraction(voxel=0.015, margin=0.05, core=0.03, smooth=0.5, faces=faces, level=None),
        Baking(texel=0.007, views=3, turned=6, faint=0.01, margin=0.02, tolerance=0.015),
        neighbors=4,
        smoothness=0.01,
    )


@pytest.fixture(scope="session")
def exports(toy_folder) -> Exports:
    """What the toy offers to the formats."""
    return Exports(SolidAvatar(THICK), SolidData(toy_folder), rigging(), fps=25.0)
