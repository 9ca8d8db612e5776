"""The surface of a field that is known: its volume, its place, its winding, its pieces."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from hashhuman.body.template import BodyPose
from hashhuman.errors import UserError
from hashhuman.export import surface as surfaces
from hashhuman.export.surface import SurfaceExtraction
from tests.hashhuman.export.conftest import THICK
from tests.hashhuman.export.solid import SolidAvatar, template


def extraction(**changes) -> SurfaceExtraction:
    settings = {"voxel": 0.015, "margin": 0.06, "core": 0.03, "smooth": 0.5, "faces": 4000, "level": None}
    return SurfaceExtraction(**settings | changes)


@pytest.fixture(scope="module")
def surface():
    return extraction()(SolidAvatar(THICK), template())


def test_it_lies_where_the_person_is_and_not_where_the_body_is(surface):
    """The person is 15 mm thicker than the body, as with clothes."""
    world = torch.zeros(3)
    avatar = SolidAvatar(THICK)
    scene = avatar.scene([BodyPose(template().big_pose(), world, world)])
    inward, outward = (avatar.query(surface.vertices + along * surface.normals(), scene)[1] for along in (-0.02, 0.02))
    assert (inward > 200).float().mean() > 0.97 and (outward < 200).float().mean() > 0.97
    bare = extraction()(SolidAvatar(0.0), template())
    assert surface.volume() > 1.2 * bare.volume() > 0


def test_faces_are_counter_clockwise_from_outside_and_few(surface):
    assert 3000 < len(surface.faces) <= 4000 and surface.volume() > 0
    sphere = np.linalg.norm(np.mgrid[-8:9, -8:9, -8:9], axis=0)
    grid = surfaces.DensityGrid(sphere, sphere < 0, np.full(3, -8.0), 1.0)
    vertices, faces = surfaces.cut(grid, 10 - sphere, 5.0)
    volume = surfaces.signed_volume(torch.from_numpy(vertices), torch.from_numpy(faces))
    assert volume == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.05)


def test_a_cube_encloses_its_volume_and_a_turned_one_the_negative():
    corners = torch.tensor([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 2.0) for z in (0.0, 2.0)])
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    faces = torch.tensor([[q[i] for i in t] for q in quads for t in ((0, 1, 2), (0, 2, 3))])
    assert surfaces.signed_volume(corners, faces) == pytest.approx(8)
    assert surfaces.signed_volume(corners + 5, faces.flip(1)) == pytest.approx(-8)


def test_small_pieces_go_and_large_ones_stay():
    field = np.zeros((40, 20, 20), np.float32)
    field[5:15, 5:15, 5:15] = field[22:30, 5:13, 5:13] = field[34:36, 5:7, 5:7] = 1
    grid = surfaces.DensityGrid(field, field > 2, np.zeros(3), 1.0)
    vertices, faces = surfaces.largest_pieces(*surfaces.cut(grid, field, 0.5))
    assert vertices[:, 0].max() < 31 and vertices[:, 0].max() > 29 and faces.max() == len(vertices) - 1


def test_cavities_are_filled():
    field = np.zeros((12, 12, 12), np.float32)
    field[2:10, 2:10, 2:10], field[4:8, 4:8, 4:8] = 1, 0
    assert ndimage.label(surfaces.without_cavities(field, 0.5) < 0.5)[1] == 1
    field[5, 5, :6] = 0  # now a way leads in
    assert ndimage.label(surfaces.without_cavities(field, 0.5) < 0.5)[1] == 1
    assert (surfaces.without_cavities(field, 0.5)[4:8, 4:8, 4:8] == 0).all()


@pytest.mark.parametrize("density", [30.0, 300.0])
def test_the_level_follows_the_fog(density):
    """The surface of thin fog is cut at a lower density, and covers the same places."""
    across = np.abs(np.mgrid[-15:16, -15:16, -15:16]).max(0) * 0.01
    grid = surfaces.DensityGrid(density / (1 + np.exp((across - 0.1) / 0.005)), across < 0, np.zeros(3), 0.01)
    smooth = surfaces.opacity(grid)
    level = surfaces.find_level(grid, smooth)
    covered = (smooth.max(2) >= -np.expm1(-level * grid.voxel)).sum()
    fog = (grid.density.sum(2) * grid.voxel > np.log(2)).sum()
    assert covered == pytest.approx(fog, rel=0.1) and level < density


def test_an_empty_field_is_one_sentence():
    avatar = SolidAvatar()
    avatar.query = lambda positions, *rest: (torch.zeros(len(positions), 3), torch.zeros(len(positions)))
    with pytest.raises(UserError, match="empty"):
        extraction(core=1.0)(avatar, template())
