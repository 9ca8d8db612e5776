"""GLB files by hand and our own: hierarchies with scale and axes, ways to interpolate, bind poses; what is refused."""

import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.readers.gltf import read_glb
from hashhuman.animate.retarget import Retargeting
from hashhuman.errors import UserError
from hashhuman.export import glb
from tests.hashhuman.animate import people

TURN = Rotation.from_euler("x", -90, degrees=True)  # of an armature whose joints have z up


class File:
    """A GLB, put together array by array."""

    def __init__(self) -> None:
        self.content, self.views, self.accessors = b"", [], []

    def array(self, values, kind="f4", **more) -> int:
        values = np.asarray(values, kind)
        shape = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[values[0].size]
        code = {"f4": 5126, "i2": 5122}[kind]
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": values.nbytes})
        self.accessors.append(
            {"bufferView": len(self.views) - 1, "componentType": code, "count": len(values), "type": shape} | more
        )
        self.content += values.tobytes()
        return len(self.accessors) - 1

    def write(self, path, description: dict):
        arrays = {
            "buffers": [{"byteLength": len(self.content)}],
            "bufferViews": self.views,
            "accessors": self.accessors,
        }
        path.write_bytes(glb.packed({"asset": {"version": "2.0"}} | arrays | description, self.content))
        return path


def armature(file: File, interpolation: str = "LINEAR", bound: bool = False, kind: str = "f4") -> dict:
    """An armature in centimetres with z up, below it hips that move and turn by 90 degrees, and a child."""
    times = file.array([0.0, 1.0])
    turns = Rotation.from_rotvec([[0, 0, 0], [0, 0, np.pi / 2]]).as_quat()
    places = np.array([[0, 0, 100.0], [0, -20, 100]])
    if interpolation == "CUBICSPLINE":  # tangents of zero: slow at both ends
        zero = np.zeros_like
        turns = np.stack([zero(turns), turns, zero(turns)], 1).reshape(-1, 4)
        places = np.stack([zero(places), places, zero(places)], 1).reshape(-1, 3)
    if kind == "i2":
        turned = file.array(np.round(turns * 32767), "i2", normalized=True)
    else:
        turned = file.array(turns)
    samplers = [{"input": times, "output": o, "interpolation": interpolation} for o in (turned, file.array(places))]
    description = {
        "nodes": [
            {"name": "Armature", "rotation": TURN.as_quat().tolist(), "scale": [0.01] * 3, "children": [2]},
            {"name": "tip", "translation": [10, 0, 50]},
            {"name": "hips", "translation": [0, 0, 100], "rotation": [0, 0, 1, 0], "children": [1]},
        ],
        "animations": [
            {
                "name": "walk",
                "samplers": samplers,
                "channels": [
                    {"sampler": 0, "target": {"node": 2, "path": "rotation"}},
                    {"sampler": 1, "target": {"node": 2, "path": "translation"}},
                ],
            },
        ],
    }
    if bound:  # upright and without a turn, although the node stands otherwise
        inverse = np.tile(np.eye(4), (2, 1, 1))
        inverse[0, :3, 3], inverse[1, :3, 3] = [-10, 0, -150], [0, 0, -100]
        description["skins"] = [
            {"joints": [1, 2], "inverseBindMatrices": file.array(inverse.swapaxes(1, 2).reshape(2, 16))}
        ]
    return description


@pytest.mark.parametrize("kind", ["f4", "i2"])
def test_an_armature_in_centimetres(tmp_path, kind):
    file = File()
    clip = read_glb(file.write(tmp_path / "a.glb", armature(file, bound=True, kind=kind)), "walk")
    assert clip.names == ("hips", "tip") and clip.parents == (-1, 0) and clip.up == 1
    assert clip.joints == pytest.approx(np.array([[0, 0, 100], [10, 0, 150]]))
    assert clip.positions[0] == pytest.approx(np.array([[0, 1, 0], [0.1, 1.5, 0]]), abs=1e-6)
    # The armature's -y is the world's z; its z, about which the hips turn, is the world's y.
    assert clip.positions[1] == pytest.approx(np.array([[0, 1, 0.2], [0, 1.5, 0.1]]), abs=1e-4)
    first = Rotation.from_quat(clip.rotations[0, 1]).as_matrix()
    assert first == pytest.approx(TURN.as_matrix(), abs=1e-6)


def test_without_a_skin_the_nodes_rest_as_they_stand(tmp_path):
    file = File()
    clip = read_glb(file.write(tmp_path / "a.glb", armature(file)))
    assert clip.names == ("hips", "tip")
    assert clip.joints[1] == pytest.approx([-0.1, 1.5, 0], abs=1e-6)
    turn = Rotation.from_quat(clip.rotations[0, 0]).magnitude()
    assert np.degrees(turn) == pytest.approx(180)


@pytest.mark.parametrize(("interpolation", "degrees"), [("LINEAR", 22.5), ("STEP", 0.0), ("CUBICSPLINE", 13.0)])
def test_interpolation(tmp_path, interpolation, degrees):
    """A second clip's track asks for values between: at a quarter of the way."""
    file = File()
    description = armature(file, interpolation, bound=True)
    other = {"input": file.array([0.0, 0.25, 1.0]), "output": file.array([[1, 1, 1]] * 3)}
    description["animations"][0]["samplers"].append(other)
    description["animations"][0]["channels"].append({"sampler": 2, "target": {"node": 1, "path": "scale"}})
    clip = read_glb(file.write(tmp_path / "a.glb", description))
    assert clip.times == pytest.approx([0, 0.25, 1])
    turned = Rotation.from_quat(clip.rotations[0, 0]).inv() * Rotation.from_quat(clip.rotations[1, 0])
    # Hermite at s = 1/4 with zero tangents: 27/32 and 5/32, of quaternions, which are then normalised.
    hermite = np.degrees(2 * np.arctan2(5 / 32 * np.sqrt(0.5), 27 / 32 + 5 / 32 * np.sqrt(0.5)))
    expected = hermite if interpolation == "CUBICSPLINE" else degrees
    assert np.degrees(turned.magnitude()) == pytest.approx(expected, abs=1e-4)


def test_our_own_out_and_in_again(exports, tmp_path):
    path = tmp_path / "avatar.glb"
    path.write_bytes(glb.glb(exports.mesh, [exports.motion]))
    clip = read_glb(path)
    assert clip.names == exports.skeleton.names and clip.joints == pytest.approx(exports.skeleton.joints, abs=1e-6)
    assert clip.positions == pytest.approx(exports.motion.joints(exports.skeleton), abs=1e-5)
    again = Retargeting()("again", clip, exports.skeleton)
    assert people.apart(again.rotations, exports.motion.rotations).max() < 0.01
    assert again.root == pytest.approx(exports.motion.root, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["animations"][0]["channels"].clear(), "moves no node"),
        (lambda d: d["animations"][0]["channels"][0].update(sampler=9), "names a sampler that it does not have"),
        (lambda d: d["animations"][0]["channels"][0]["target"].update(node=9), "moves a node that it does not have"),
        (lambda d: d["accessors"][0].update(count=999), "claims more bytes"),
        (lambda d: d["accessors"][0].update(count=-1), "no whole number"),
        (lambda d: d["accessors"][1].update(sparse={}), "sparse"),
        (lambda d: d["bufferViews"][1].update(extensions={"EXT_meshopt_compression": {}}), "compressed"),
        (lambda d: d["buffers"][0].update(uri="a.bin"), "lie in another file"),
        (lambda d: d["nodes"][1].update(children=[0]), "its nodes are below themselves"),
        (lambda d: d["nodes"][1].update(children=[2]), "two parents"),
        (lambda d: d["nodes"][0].update(scale=[0.01, -0.01, 0.01]), "mirrors or flattens"),
        (lambda d: d["nodes"][0].update(rotation=["a"] * 4), "could not convert"),
        (lambda d: d["skins"][0].update(joints=[0, 1, 2]), "fewer bind matrices"),
    ],
)
def test_damage_is_one_sentence(tmp_path, change, said):
    file = File()
    description = armature(file, bound=True)
    path = file.write(tmp_path / "a.glb", description)
    size = struct.unpack_from("<I", path.read_bytes(), 12)[0]
    whole = json.loads(path.read_bytes()[20 : 20 + size])
    change(whole)
    path.write_bytes(glb.packed(whole, file.content))
    with pytest.raises(UserError, match=said) as raised:
        read_glb(path)
    assert "a.glb is not a readable GLB file" in str(raised.value)


def test_other_clips_and_files_cut_short(tmp_path):
    file = File()
    path = file.write(tmp_path / "a.glb", armature(file))
    for clip in ("run", 1):
        with pytest.raises(UserError, match=f"a.glb has no clip {clip}: choose clip= among walk"):
            read_glb(path, clip)
    still = armature(file)
    del still["animations"]
    with pytest.raises(UserError, match=r"still\.glb holds no animation"):
        read_glb(file.write(tmp_path / "still.glb", still))
    whole = path.read_bytes()
    for cut in (0, 11, 30, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match="not a readable GLB file"):
            read_glb(path)
