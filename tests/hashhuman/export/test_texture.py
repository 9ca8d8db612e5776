"""The texture shows the field's colours where they are."""

import numpy as np
import torch

from hashhuman.export.mesh_files import vertex_colors
from tests.hashhuman.export.conftest import THICK
from tests.hashhuman.export.solid import COLORS, SolidAvatar


def test_each_part_has_its_colour(exports):
    mesh, avatar = exports.mesh, SolidAvatar(THICK)
    rest = torch.from_numpy(mesh.vertices - mesh.skeleton.offset).float()
    box = torch.stack([avatar.outside(rest, part) for part in range(5)], 1).argmin(1).numpy()
    own = np.rint(255 * COLORS.numpy()).astype(int)[box]
    near = np.abs(vertex_colors(mesh).astype(int) - own).max(1) <= 2
    assert near.mean() > 0.9  # the rest lie where two parts meet
    assert all(near[box == part].mean() > 0.8 for part in range(5))
    assert (mesh.texture.reshape(-1, 3).max(1) > 0).all()  # nothing stays black, also between the charts
