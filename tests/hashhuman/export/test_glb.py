"""The GLB, read by independent code: its structure, its joints, its skin."""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hashhuman.export import glb as glbs

SIZES = {5126: 4, 5125: 4, 5123: 2, 5121: 1}
TYPES = {5126: "<f4", 5125: "<u4", 5123: "<u2", 5121: "u1"}
WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module")
def content(exports) -> bytes:
    return glbs.glb(exports.mesh, [exports.motion])


def parsed(content: bytes) -> tuple[dict, bytes]:
    """The description and the buffer, by the glTF 2.0 specification, section 4."""
    magic, version, size = struct.unpack("<4sII", content[:12])
    assert (magic, version, size) == (b"glTF", 2, len(content))
    length, kind = struct.unpack("<I4s", content[12:20])
    assert kind == b"JSON" and length % 4 == 0
    description = json.loads(content[20 : 20 + length])
    more, kind = struct.unpack("<I4s", content[20 + length : 28 + length])
    assert kind == b"BIN\0" and 28 + length + more == len(content)
    return description, content[28 + length :]


def values(description: dict, buffer: bytes, index: int) -> np.ndarray:
    accessor = description["accessors"][index]
    view = description["bufferViews"][accessor["bufferView"]]
    width = WIDTH[accessor["type"]]
    assert view["byteLength"] == accessor["count"] * width * SIZES[accessor["componentType"]]
    assert view["byteOffset"] % 4 == 0 and view["byteOffset"] + view["byteLength"] <= len(buffer)
    flat = np.frombuffer(buffer, TYPES[accessor["componentType"]], accessor["count"] * width, view["byteOffset"])
    return flat.reshape(accessor["count"], width)


def test_what_programs_disagree_about_is_avoided(content):
    description, buffer = parsed(content)
    mesh_node = description["nodes"][0]
    assert set(mesh_node) == {"name", "mesh", "skin"} and 0 in description["scenes"][0]["nodes"]
    skin, (primitive,) = description["skins"][0], description["meshes"][0]["primitives"]
    arrays = {name: values(description, buffer, i) for name, i in primitive["attributes"].items()}
    assert "WEIGHTS_1" not in arrays and not {"extensionsRequired"} & description.keys()
    assert abs(arrays["WEIGHTS_0"].astype(float).sum(1) - 1).max() < 2e-7
    assert arrays["JOINTS_0"].max() < len(skin["joints"])
    assert (arrays["JOINTS_0"][arrays["WEIGHTS_0"] == 0] == 0).all()
    assert np.linalg.norm(arrays["NORMAL"].astype(float), axis=1) == pytest.approx(1, abs=1e-6)
    assert values(description, buffer, primitive["indices"]).max() == len(arrays["POSITION"]) - 1
    position = description["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == arrays["POSITION"].min(0).tolist()
    inverse = values(description, buffer, skin["inverseBindMatrices"])
    assert (inverse[:, 3::4] == [0, 0, 0, 1]).all()  # the last row: matrices are stored by columns
    assert buffer[description["bufferViews"][description["images"][0]["bufferView"]]["byteOffset"] :][:4] == b"\x89PNG"


def test_clip_moves_the_joints_as_the_run_does(content, exports):
    description, buffer = parsed(content)
    (clip,) = description["animations"]
    for sampler in clip["samplers"]:
        times = description["accessors"][sampler["input"]]
        assert times["min"] == [0] and (np.diff(values(description, buffer, sampler["input"])[:, 0]) > 0).all()
    rotations = [c for c in clip["channels"] if c["target"]["path"] == "rotation"]
    for channel in rotations:
        turn = values(description, buffer, clip["samplers"][channel["sampler"]]["output"])
        assert np.linalg.norm(turn.astype(float), axis=1) == pytest.approx(1, abs=1e-6) and abs(turn).max() <= 1
    nodes, parent = (
        description["nodes"],
        {c: i for i, n in enumerate(description["nodes"]) for c in n.get("children", [])},
    )
    own = exports.motion.joints(exports.skeleton)
    for frame in range(len(own)):
        local = {}
        for channel in clip["channels"]:
            output = values(description, buffer, clip["samplers"][channel["sampler"]]["output"])[frame].astype(float)
            local[channel["target"]["node"], channel["target"]["path"]] = output

        def world(node: int, local: dict = local) -> np.ndarray:
            x, y, z, w = local[node, "rotation"]
            matrix = np.eye(4)
            matrix[:3, :3] = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
            matrix[:3, 3] = local.get((node, "translation"), nodes[node]["translation"])
            return world(parent[node]) @ matrix if node in parent else matrix

        for joint, node in enumerate(description["skins"][0]["joints"]):
            assert world(node)[:3, 3] == pytest.approx(own[frame, joint], abs=1e-5)
            assert nodes[node]["name"] == exports.skeleton.names[joint]


def test_trimesh_opens_it(content, tmp_path, exports):
    trimesh = pytest.importorskip("trimesh")
    (tmp_path / "a.glb").write_bytes(content)
    (mesh,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert mesh.bounds == pytest.approx(
        np.stack([exports.mesh.vertices.min(0), exports.mesh.vertices.max(0)]), abs=1e-6
    )
    assert len(mesh.faces) == len(exports.mesh.faces) and mesh.volume > 0


def test_it_stands_on_the_ground_at_rest(exports):
    low, high = exports.mesh.vertices.min(0), exports.mesh.vertices.max(0)
    assert low[1] == pytest.approx(-0.015, abs=0.015)  # the clothes below the soles
    assert high[1] == pytest.approx(0.87 + 0.75 + 0.015, abs=0.02)


def test_vectors_are_normalised_and_clamped():
    quaternions = np.random.default_rng(1).normal(size=(2000, 4)) * [1e-9, 1e-9, 1e-9, 1]
    turned = glbs.unit(quaternions)
    assert turned.dtype == np.float32 and np.abs(turned).max() <= 1
    assert glbs.unit(np.zeros((1, 3))).tolist() == [[0, 0, 1]]


VALIDATOR = "gltf-validator@2.0.0-dev.3.10"
VALIDATE = """
const validator = require(process.argv[1]), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then((report) => console.log(JSON.stringify(report.issues)));
"""


@pytest.mark.slow
def test_the_validator_of_the_format_finds_nothing(content, tmp_path):
    """Khronos's own: gltf-validator, from npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no node and npm")
    install = [
        npm,
        "install",
        "--prefix",
        str(tmp_path),
        "--ignore-scripts",
        "--no-audit",
        VALIDATOR,
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"gltf-validator cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    (tmp_path / "a.glb").write_bytes(content)
    module: Path = tmp_path / "node_modules/gltf-validator"
    run = [node, "-e", VALIDATE, str(module), str(tmp_path / "a.glb")]
    report = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert report["numErrors"] == report["numWarnings"] == report["numInfos"] == 0, report["messages"]
