"""Writes the rigged mesh as a binary glTF 2.0 file, which Blender, Unity, Unreal, three.js and Babylon open.

The writer is ours, since the file is a list of arrays and a description of them, and since libraries that write glTF
either drop skins and clips or describe arrays as raw dictionaries anyway. What viewers disagree about is avoided:

- The mesh is skinned, and lies at the scene's root without a transform of its own.
- A vertex has four weights, whose sum is one; nothing is compressed.
- Every joint's rest rotation is the identity, so inverse bind matrices only move.
- The material is unlit (`KHR_materials_unlit`): its colours already contain the light in which the person was filmed.
"""

import dataclasses
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hashhuman.export.motion import Motion, Skeleton
from hashhuman.export.rigged import RiggedMesh
from hashhuman.io.files import atomic_path

MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942  # "glTF", "JSON", "BIN"
COMPONENTS = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}
SHAPES = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTICES, INDICES = 34962, 34963  # what a buffer view is for: ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP = 9729, 9987, 33071


class GlbFile:
    """`avatar.glb`: the avatar as a rigged, textured mesh with the filmed motion as a clip."""

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the file and returns its path."""
        path = folder / "avatar.glb"
        with atomic_path(path) as sibling:
            sibling.write_bytes(glb(exports.mesh, [exports.motion]))
        return path


def glb(mesh: RiggedMesh, motions: Sequence[Motion]) -> bytes:
    """The content of the file: a mesh, its skeleton, and a clip for each motion.

    `extras` of the file hold `exported_from_world`, the rigid map (rows) from the run's world to the file's, so that
    the run's cameras can be placed beside the avatar.
    """
    buffer = _Buffer()
    first = 1  # node 0 is the mesh, the joints follow
    description: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "HashHuman", "extras": _extras(mesh, motions)},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0, first]}],
        "nodes": [{"name": "avatar", "mesh": 0, "skin": 0}, *_joint_nodes(mesh.skeleton, first)],
        "meshes": [{"name": "avatar", "primitives": [_primitive(mesh, buffer)]}],
        "skins": [_skin(mesh.skeleton, first, buffer)],
        "materials": [
            {
                "name": "skin and clothes",
                "pbrMetallicRoughness": {
                    "baseColorTexture": {"index": 0},
                    "metallicFactor": 0.0,
                    "roughnessFactor": 1.0,
                },
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR, "wrapS": CLAMP, "wrapT": CLAMP}],
        "images": [{"name": "colour", "mimeType": "image/png", "bufferView": buffer.bytes(png(mesh.texture))}],
    }
    if motions:
        description["animations"] = [_clip(motion, first, buffer) for motion in motions]
    description |= buffer.described()
    return packed(description, buffer.content)


def png(image: np.ndarray) -> bytes:
    """An RGB picture as a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def packed(description: dict[str, Any], content: bytes) -> bytes:
    """A binary glTF file of a description and the buffer that it describes."""
    text = json.dumps(description, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    content += b"\0" * (-len(content) % 4)
    size = 12 + 8 + len(text) + 8 + len(content)
    head = struct.pack("<III", MAGIC, 2, size)
    return b"".join(
        [head, struct.pack("<II", len(text), JSON_CHUNK), text, struct.pack("<II", len(content), BINARY_CHUNK), content]
    )


@dataclasses.dataclass
class _Buffer:
    """The file's only buffer, with the views and accessors that describe it."""

    content: bytes = b""
    views: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    accessors: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def bytes(self, content: bytes, target: int | None = None) -> int:
        """Appends bytes at a multiple of four. Returns the index of their view."""
        self.content += b"\0" * (-len(self.content) % 4)
        view = {"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content)}
        self.views.append(view if target is None else view | {"target": target})
        self.content += content
        return len(self.views) - 1

    def array(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Appends an array. Returns the index of its accessor. `bounds`: state the least and greatest values."""
        values = np.ascontiguousarray(values)
        accessor: dict[str, Any] = {
            "bufferView": self.bytes(values.tobytes(), target),
            "componentType": COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": SHAPES[values.shape[1:]],
        }
        if bounds:
            accessor |= {"min": np.atleast_1d(values.min(0)).tolist(), "max": np.atleast_1d(values.max(0)).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def described(self) -> dict[str, Any]:
        size = len(self.content) + -len(self.content) % 4
        return {"buffers": [{"byteLength": size}], "bufferViews": self.views, "accessors": self.accessors}


def _primitive(mesh: RiggedMesh, buffer: _Buffer) -> dict[str, Any]:
    joints = mesh.skin.joints.astype(np.uint8 if len(mesh.skeleton.names) <= 256 else np.uint16)
    faces = mesh.faces.reshape(-1).astype(np.uint16 if len(mesh.vertices) < 65535 else np.uint32)
    attributes = {
        "POSITION": buffer.array(mesh.vertices.astype(np.float32), VERTICES, bounds=True),
        "NORMAL": buffer.array(unit(mesh.normals), VERTICES),
        "TEXCOORD_0": buffer.array(mesh.uv.astype(np.float32), VERTICES),
        "JOINTS_0": buffer.array(joints, VERTICES),
        "WEIGHTS_0": buffer.array(mesh.skin.weights.astype(np.float32), VERTICES),
    }
    return {"attributes": attributes, "indices": buffer.array(faces, INDICES), "material": 0, "mode": 4}


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors or quaternions of length one, normalised in float64 and then rounded; no component exceeds one."""
    vectors = vectors.astype(float)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    along = np.eye(vectors.shape[-1])[-1]  # for a vector of no length, as of a vertex whose faces have no area
    return np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), along).astype(np.float32).clip(-1, 1)


def _joint_nodes(skeleton: Skeleton, first: int) -> list[dict[str, Any]]:
    nodes = []
    for joint, (name, offset) in enumerate(zip(skeleton.names, skeleton.offsets().astype(np.float32))):
        children = [first + child for child, parent in enumerate(skeleton.parents) if parent == joint]
        node = {"name": name, "translation": offset.tolist()}
        nodes.append(node | {"children": children} if children else node)
    return nodes


def _skin(skeleton: Skeleton, first: int, buffer: _Buffer) -> dict[str, Any]:
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(skeleton.names), 1, 1))
    inverse[:, 3, :3] = -skeleton.joints  # columns are stored one after another, so this is the last column
    joints = list(range(first, first + len(skeleton.names)))
    return {"name": "skeleton", "skeleton": first, "joints": joints, "inverseBindMatrices": buffer.array(inverse)}


def _clip(motion: Motion, first: int, buffer: _Buffer) -> dict[str, Any]:
    times = buffer.array(motion.times.astype(np.float32), bounds=True)
    rotations = unit(motion.rotations)
    outputs = [("translation", 0, motion.root.astype(np.float32))]
    outputs += [("rotation", joint, rotations[:, joint]) for joint in range(rotations.shape[1])]
    samplers = [{"input": times, "output": buffer.array(values), "interpolation": "LINEAR"} for *_, values in outputs]
    channels = [
        {"sampler": i, "target": {"node": first + joint, "path": path}} for i, (path, joint, _) in enumerate(outputs)
    ]
    return {"name": motion.name, "samplers": samplers, "channels": channels}


def _extras(mesh: RiggedMesh, motions: Sequence[Motion]) -> dict[str, Any]:
    return {
        "level": mesh.level,
        "exported_from_world": {motion.name: motion.exported_from_world.tolist() for motion in motions},
    }
