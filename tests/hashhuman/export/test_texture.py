"""The texture shows the field's colours where they are."""

import numpy as np
import torch

from hashhuman.export.mesh_files import vertex_colors
from tests.hashhuman.export.conftest import THICK
from tests.hashhuman.export.solid import COLORS, SolidAvatar


def test_each_part_has_its_colour(exports):
    mesh, avatar = exports.mesh, SolidAvatar(THICK)
    rest = torch.from_numpy(mesh.vertices - mesh.skeleton.offset).float()
    nearest, part = torch.stack([avatar.outside(rest, part) for part in range(5)], 1).sort(1)
    alone, box = (nearest[:, 1] - nearest[:, 0] > 0.03).numpy(), part[:, 0].numpy()  # where no other part is near
    own = np.rint(255 * COLORS.numpy()).astype(int)[box]
    near = np.abs(vertex_colors(mesh).astype(int) - own).max(1) <= 2
    # The toy has vertices at its corners only, so that some of a leg's surface rests where the torso's would.
    assert alone.mean() > 0.7 and near[alone].mean() > 0.92
    assert all(near[alone & (box == part)].mean() > 0.85 for part in range(5))
    assert (mesh.texture.reshape(-1, 3).max(1) > 0).all()  # nothing stays black, also between the charts
