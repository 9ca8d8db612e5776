"""PLY and OBJ, read by trimesh."""

import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.export.mesh_files import ObjFile, PlyFile, vertex_colors

trimesh = pytest.importorskip("trimesh")


@pytest.mark.parametrize("frame", [None, 3])
def test_ply(exports, tmp_path, frame):
    mesh = trimesh.load(PlyFile(frame)(exports, tmp_path), process=False)
    vertices = exports.mesh.vertices if frame is None else exports.mesh.posed(exports.motion, frame)
    assert mesh.vertices == pytest.approx(vertices, abs=1e-5) and (mesh.faces == exports.mesh.faces).all()
    assert (mesh.visual.vertex_colors[:, :3] == vertex_colors(exports.mesh)).all()
    assert mesh.volume > 0


def test_obj_with_its_texture(exports, tmp_path):
    mesh = trimesh.load(ObjFile(None)(exports, tmp_path), process=False)
    assert mesh.volume > 0 and len(mesh.faces) == len(exports.mesh.faces)
    picture = np.asarray(mesh.visual.material.image)
    assert (picture[..., :3] == exports.mesh.texture).all()


def test_a_frame_that_is_not_there_is_one_sentence(exports, tmp_path):
    with pytest.raises(UserError, match=r"ply\.frame=6 must lie from 0 to 5"):
        PlyFile(6)(exports, tmp_path)
    assert not list(tmp_path.iterdir())
