"""The mesh that moves: colours, pieces, and the file that keeps it."""

import dataclasses

import numpy as np
import pytest

from hashhuman.body.visibility import world_vertices
from hashhuman.errors import UserError
from hashhuman.export.exporter import Exporter
from hashhuman.export.motion import body_poses
from hashhuman.export.rigged import RiggedMesh, Rigging
from hashhuman.view import poses
from hashhuman.view.mesh import AvatarMesh, MeshFile, reduced

JOINTS = 10_000  # more than the toy's skeleton has


def test_the_body_moves_as_the_template_does(subject, mesh):
    for time in subject.motions[0].times:
        motion = poses.at(subject.motions[0], time)
        shown = mesh.posed(motion, subject.skeleton)
        world = world_vertices(subject.template, body_poses(motion, subject.template)[0]).numpy()
        placed = motion.exported_from_world
        assert np.allclose(shown, world @ placed[:3, :3].T + placed[:3, 3], atol=1e-5)


def test_a_texture_becomes_a_few_colours(exports):
    mesh = reduced(exports.mesh, 8)
    assert len(mesh.colors) == 8 and len(mesh.color_of) == len(exports.mesh.faces)
    place = exports.mesh.uv[exports.mesh.faces].mean(1) * exports.mesh.texture.shape[1::-1]
    texel = exports.mesh.texture[place[:, 1].astype(int), place[:, 0].astype(int)].astype(int)
    error = np.abs(mesh.colors[mesh.color_of].astype(int) - texel).max(1)
    assert np.median(error) < 12 and (error < 60).mean() > 0.95
    assert np.array_equal(mesh.colors, reduced(exports.mesh, 8).colors)


def test_pieces_are_the_whole_mesh(exports):
    mesh = reduced(exports.mesh, 8)
    pieces = mesh.pieces()
    faces = np.concatenate([piece.vertices[piece.faces] for piece in pieces])
    assert sorted(map(tuple, faces)) == sorted(map(tuple, mesh.faces))
    for piece in pieces:
        mine = {tuple(face) for face in piece.vertices[piece.faces]}
        index = next(i for i, color in enumerate(mesh.colors) if tuple(color) == piece.color)
        assert mine == {tuple(face) for face in mesh.faces[mesh.color_of == index]}


class Counted(Rigging):
    """Has made its mesh already, and counts."""

    def __init__(self, mesh: RiggedMesh) -> None:
        self.mesh, self.made = mesh, 0

    def __call__(self, avatar, datamodule) -> RiggedMesh:
        self.made += 1
        return self.mesh


def test_a_mesh_is_made_once(exports, tmp_path):
    rigging = Counted(exports.mesh)
    make = AvatarMesh(Exporter([], {}, rigging, 30.0), 8)
    first = make(None, None, MeshFile(tmp_path / "view/mesh.npz", "a", JOINTS))
    again = make(None, None, MeshFile(tmp_path / "view/mesh.npz", "a", JOINTS))
    assert rigging.made == 1
    for name in ("vertices", "faces", "colors", "color_of"):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert np.array_equal(first.skin.weights, again.skin.weights)
    make(None, None, MeshFile(tmp_path / "view/mesh.npz", "b", JOINTS))
    assert rigging.made == 2


DAMAGE = [
    ("faces", np.full((4, 3), 10**6)), ("weights", np.zeros((3, 4))), ("color_of", np.zeros(1, int)), ("joints", None),
    ("joints", JOINTS), ("joints", 0.5), ("weights", np.nan), ("color_of", -1), ("colors", np.nan),
]  # fmt: skip


@pytest.mark.parametrize("name, value", DAMAGE)
def test_a_damaged_file_is_one_sentence(exports, tmp_path, name, value):
    file = MeshFile(tmp_path / "mesh.npz", "a", JOINTS)
    file.write(reduced(exports.mesh, 4))
    arrays = dict(np.load(file.path))
    old = arrays.pop(name)
    if value is not None:
        arrays[name] = value if isinstance(value, np.ndarray) else np.full(old.shape, value)
    np.savez(file.path, **arrays)
    with pytest.raises(UserError, match=r"mesh\.npz does not hold a mesh of the viewer: delete it"):
        file.read()


def test_a_folder_that_cannot_be_written_is_looked_at_all_the_same(exports, tmp_path, capsys):
    (tmp_path / "view").write_text("no folder")
    exporter = Exporter([], {}, Counted(exports.mesh), 30.0)
    assert len(AvatarMesh(exporter, 4)(None, None, MeshFile(tmp_path / "view/mesh.npz", "a", JOINTS)).faces)
    assert "The mesh is shown, but not kept" in capsys.readouterr().out


def test_one_colour_is_enough(exports):
    mesh = reduced(dataclasses.replace(exports.mesh, texture=np.full((8, 8, 3), 90, np.uint8)), 4)
    assert (mesh.colors[mesh.color_of] == 90).all()
