"""Charts that do not mirror, and texels that lie where they should."""

import numpy as np
import pytest
import torch

from hashhuman.export import atlas as atlases
from hashhuman.export.atlas import Atlas
from tests import toy


def test_charts_are_apart_and_none_is_mirrored():
    body = toy.template()
    atlas = atlases.unwrap(body.vertices, body.faces, 0.01)
    assert (body.faces.numpy() == atlas.source[atlas.faces]).all()
    areas = atlases.signed_areas(atlas.uv, atlas.faces)
    assert (areas > 0).all() and areas.sum() < 1
    assert atlas.uv.min() >= 0 and atlas.uv.max() <= 1 and atlas.size[0] in (64, 128, 256, 512)


def test_a_mirrored_chart_is_turned_back_in_its_place():
    uv = np.array([[0.1, 0.1], [0.3, 0.1], [0.1, 0.4], [0.6, 0.1], [0.9, 0.1], [0.6, 0.4]], np.float32)
    faces = np.array([[0, 1, 2], [3, 5, 4]])
    turned = atlases.unmirrored(uv, faces)
    assert (atlases.signed_areas(turned, faces) > 0).all()
    assert (turned[:3] == uv[:3]).all() and turned[3:, 0] == pytest.approx([0.9, 0.6, 0.9])


def test_texels_are_those_whose_centre_a_face_holds():
    uv = np.array([[0, 0], [0.5, 0], [0, 0.5]], np.float32)
    texels = atlases.rasterize(Atlas(np.arange(3), np.array([[0, 1, 2]]), uv, (8, 8)))
    by_hand = np.array([[(x + 0.5) / 8 + (y + 0.5) / 8 <= 0.5 for x in range(8)] for y in range(8)])
    assert (texels.covered == by_hand).all() and (texels.face == 0).all()
    y, x = np.nonzero(by_hand)
    assert texels.weights @ uv == pytest.approx(np.stack([x + 0.5, y + 0.5], 1) / 8)


def test_other_texels_take_the_nearest_colour():
    texture, covered = np.zeros((4, 6, 3), np.float32), np.zeros((4, 6), bool)
    texture[1, 1], texture[2, 5] = (1, 0, 0), (0, 1, 0)
    covered[1, 1] = covered[2, 5] = True
    filled = atlases.spread(texture, covered)
    assert (filled[0, 0] == [1, 0, 0]).all() and (filled[3, 5] == [0, 1, 0]).all() and filled.sum() == 24
    assert not atlases.spread(texture, np.zeros((4, 6), bool)).any()


def test_a_mesh_without_area_is_one_sentence():
    with pytest.raises(Exception, match="no area"):
        atlases.unwrap(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 0.01)
