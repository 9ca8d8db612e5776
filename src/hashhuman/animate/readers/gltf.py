"""Reads a clip of a binary glTF file (.glb): its skeleton and one of its animations.

Only the description and the arrays of animations and skins are looked at. The rest pose is that of the skin's inverse
bind matrices, since the nodes of many files stand in another pose; without a skin it is that of the nodes. glTF's
world has y up.
"""

import dataclasses
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.animate.clip import UP, Clip
from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import reading

MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942  # "glTF", "JSON", "BIN"
TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
PATHS = {"translation": 3, "rotation": 4, "scale": 3}


def read_glb(path: Path, clip: int | str | None = None) -> Clip:
    """A clip of a GLB file.

    Args:
        path: the file.
        clip: its position among the file's animations, or its name; None: the first.

    Raises:
        UserError: if the file is damaged, has no such clip, or is compressed.
    """
    with reading(path, "GLB") as file:
        limits.check_size(file, limits.UNPACKED)
        gltf = _Gltf(*_chunks(file.read()))
        animations = gltf.listed("animations")
        names = [str(animation.get("name", index)) for index, animation in enumerate(animations)]
        index = names.index(clip) if clip in names else clip or 0
        if not isinstance(index, int) or not 0 <= index < len(animations):
            if not names:
                raise UserError(f"{path} holds no animation: name a file with a motion.")
            raise UserError(f"{path} has no clip {clip}: choose clip= among {', '.join(names)}.")
        return _clip(gltf, animations[index])


def _chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The description and the buffer."""
    if len(content) < 20 or struct.unpack_from("<II", content) != (MAGIC, 2):
        raise ValueError("it does not begin as binary glTF 2.0 does")
    chunks, at = {}, 12
    while at + 8 <= len(content):
        size, kind = struct.unpack_from("<II", content, at)
        if at + 8 + size > len(content):
            raise ValueError("a chunk claims more bytes than the file has")
        chunks.setdefault(kind, content[at + 8 : at + 8 + size])
        at += 8 + size
    if JSON_CHUNK not in chunks or len(chunks[JSON_CHUNK]) > limits.JSON_BYTES:
        raise ValueError("it has no description, or one that is too large")
    description = limits.check_nesting(json.loads(chunks[JSON_CHUNK].decode("utf-8")))
    if not isinstance(description, dict):
        raise ValueError("its description is no object")
    return description, chunks.get(BINARY_CHUNK, b"")


@dataclasses.dataclass
class _Gltf:
    description: dict[str, Any]
    buffer: bytes

    def listed(self, key: str) -> list[Any]:
        """The entries of a list of the description; empty if there is none."""
        entries = self.description.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"its {key} are no list of objects")
        return entries

    def array(self, index: int) -> Float[np.ndarray, "N C"]:
        """The values of an accessor, as glTF decodes them."""
        accessor = _entry(self.listed("accessors"), index, "accessor")
        if "sparse" in accessor or "bufferView" not in accessor:
            raise ValueError("an array of its clip is sparse, which is not read")
        view = _entry(self.listed("bufferViews"), accessor["bufferView"], "buffer view")
        if "EXT_meshopt_compression" in view.get("extensions", {}) or "KHR_meshopt_compression" in view.get(
            "extensions", {}
        ):
            raise ValueError("its arrays are compressed (meshopt), which is not read: export it without compression")
        if view.get("buffer") != 0 or "uri" in _entry(self.listed("buffers"), 0, "buffer"):
            raise ValueError("its arrays lie in another file, which is not read: export it as one .glb")
        kind, width, count = np.dtype(TYPES[accessor["componentType"]]), WIDTHS[accessor["type"]], accessor["count"]
        stride = view.get("byteStride", kind.itemsize * width)
        begin = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        numbers = (count, stride, begin)
        if not all(isinstance(number, int) and number >= 0 for number in numbers) or stride < kind.itemsize * width:
            raise ValueError("an array has a size or place that is no whole number")
        if not count or begin + (count - 1) * stride + kind.itemsize * width > len(self.buffer):
            raise ValueError("an array claims more bytes than the file has")
        strides = (stride, kind.itemsize)
        values = np.ndarray((count, width), kind, self.buffer, begin, strides).astype(float)
        if accessor.get("normalized"):
            values = np.maximum(values / np.iinfo(kind).max, -1)
        if not np.isfinite(values).all():
            raise ValueError("an array holds numbers that are not finite")
        return values


def _entry(entries: list[Any], index: Any, what: str) -> dict[str, Any]:
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(entries):
        raise ValueError(f"it names a {what} that it does not have")
    return entries[index]


def _parents(nodes: list[Any]) -> list[int]:
    """The parent of each node, -1 at roots."""
    parents = [-1] * len(nodes)
    for index, node in enumerate(nodes):
        for child in node.get("children", []):
            _entry(nodes, child, "node")
            if parents[child] >= 0 or child == index:
                raise ValueError("a node has two parents")
            parents[child] = index
    return parents


def _ordered(parents: list[int]) -> list[int]:
    """The nodes, parents before children. Raises ValueError if nodes are below themselves."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents):
        children.setdefault(parent, []).append(node)
    order = list(children.get(-1, []))
    for node in order:  # grows
        order += children.get(node, [])
    if len(order) != len(parents):
        raise ValueError("its nodes are below themselves")
    return order


def _clip(gltf: _Gltf, animation: Mapping[str, Any]) -> Clip:
    nodes = gltf.listed("nodes")
    parents = _parents(nodes)
    tracks = _tracks(gltf, animation, len(nodes))
    skin = max(gltf.listed("skins"), key=lambda entry: len(entry.get("joints", [])), default={})
    moved = {node for node, _ in tracks}
    chosen = set(skin.get("joints", []))
    chosen = chosen or {node for node in range(len(nodes)) if moved & {node, *_line(node, parents)}}
    order = [node for node in _ordered(parents) if node in chosen]
    if not order or not moved:
        raise ValueError("its clip moves no node")
    times = np.unique(np.concatenate([track.times for track in tracks.values()]).round(6))
    needed = {node for joint in order for node in (joint, *_line(joint, parents))}
    limits.check_motion(len(times), len(needed))
    walk = [node for node in _ordered(parents) if node in needed]
    world = _worlds(nodes, parents, walk, tracks, times)
    if "inverseBindMatrices" in skin:
        rest = _bound(gltf, skin)
    else:
        rest = {node: still[0] for node, still in _worlds(nodes, parents, walk, {}, np.zeros(1)).items()}
    turns = [(_rotation(world[node]) * _rotation(rest[node][None]).inv()).as_quat() for node in order]
    above = [next((order.index(up) for up in _line(node, parents) if up in chosen), -1) for node in order]
    return Clip(
        names=tuple(str(nodes[node].get("name", f"node {node}")) for node in order),
        parents=tuple(above),
        joints=np.stack([rest[node][:3, 3] for node in order]),
        times=times - times[0],
        rotations=np.stack(turns, 1),
        positions=np.stack([world[node][:, :3, 3] for node in order], 1),
        up=UP,
    )


def _line(node: int, parents: list[int]) -> list[int]:
    """The ancestors of a node, from its parent upwards."""
    line = []
    while (node := parents[node]) >= 0 and len(line) < len(parents):
        line.append(node)
    return line


@dataclasses.dataclass
class _Track:
    """What an animation does to one property of a node."""

    times: Float[np.ndarray, "N"]
    values: Float[np.ndarray, "N C"]
    interpolation: str
    tangents: tuple[np.ndarray, np.ndarray] | None  # in and out, of CUBICSPLINE

    def at(self, times: Float[np.ndarray, "F"], rotation: bool) -> Float[np.ndarray, "F C"]:
        """The property at other times; before the first and after the last key it stays."""
        times = times.clip(self.times[0], self.times[-1])
        before = (np.searchsorted(self.times, times + 1e-6, "right") - 1).clip(0, max(len(self.times) - 2, 0))
        if len(self.times) == 1:
            return self.values[before]
        if self.interpolation == "STEP":
            return self.values[(np.searchsorted(self.times, times + 1e-6, "right") - 1).clip(0)]
        length = self.times[before + 1] - self.times[before]
        s = ((times - self.times[before]) / length).clip(0, 1)[:, None]
        if self.tangents is not None:  # glTF 2.0, appendix C
            into, out = self.tangents
            scale = length[:, None]
            return (
                (2 * s**3 - 3 * s**2 + 1) * self.values[before] + scale * (s**3 - 2 * s**2 + s) * out[before]
                + (3 * s**2 - 2 * s**3) * self.values[before + 1] + scale * (s**3 - s**2) * into[before + 1]
            )  # fmt: skip
        if rotation:
            return Slerp(self.times, Rotation.from_quat(self.values))(times).as_quat()
        return (1 - s) * self.values[before] + s * self.values[before + 1]


def _tracks(gltf: _Gltf, animation: Mapping[str, Any], n_nodes: int) -> dict[tuple[int, str], _Track]:
    """By node and property."""
    tracks = {}
    for channel in animation.get("channels", []):
        target = channel["target"]
        if target.get("path") not in PATHS or "node" not in target:
            continue  # weights of morph targets, and what extensions move
        node = target["node"]
        if not isinstance(node, int) or not 0 <= node < n_nodes:
            raise ValueError("its clip moves a node that it does not have")
        sampler = _entry(animation["samplers"], channel["sampler"], "sampler")
        times, values = gltf.array(sampler["input"])[:, 0], gltf.array(sampler["output"])
        kind, tangents = sampler.get("interpolation", "LINEAR"), None
        if kind == "CUBICSPLINE" and len(values) == 3 * len(times):
            tangents, values = (values[0::3], values[2::3]), values[1::3]
        if values.shape != (len(times), PATHS[target["path"]]) or (np.diff(times) <= 0).any():
            raise ValueError("a track of its clip has not one value for each of ascending times")
        tracks[node, target["path"]] = _Track(times, values, kind, tangents)
    return tracks


def _local(node: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A node's own translation, rotation and scale. Raises ValueError if they are no numbers."""
    if "matrix" in node:
        matrix = np.array(node["matrix"], float).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        return {"translation": matrix[:3, 3], "rotation": _rotation(matrix[None]).as_quat()[0], "scale": scale}
    defaults = {"translation": [0, 0, 0], "rotation": [0, 0, 0, 1], "scale": [1, 1, 1]}
    values = {path: np.array(node.get(path, default), float) for path, default in defaults.items()}
    if any(value.shape != (PATHS[path],) or not np.isfinite(value).all() for path, value in values.items()):
        raise ValueError("a node has a transform that is no list of numbers")
    return values


def _matrices(parts: Mapping[str, np.ndarray]) -> Float[np.ndarray, "F 4 4"]:
    matrix = np.tile(np.eye(4), (len(parts["rotation"]), 1, 1))
    matrix[:, :3, :3] = Rotation.from_quat(parts["rotation"]).as_matrix() * parts["scale"][:, None, :]
    matrix[:, :3, 3] = parts["translation"]
    return matrix


def _worlds(
    nodes: list[Any],
    parents: list[int],
    walk: list[int],
    tracks: Mapping[tuple[int, str], _Track],
    times: Float[np.ndarray, "F"],
) -> dict[int, Float[np.ndarray, "F 4 4"]]:
    """The world transforms over time of the nodes of `walk`, in which parents precede their children."""
    worlds: dict[int, np.ndarray] = {}
    for node in walk:
        parts = {path: np.tile(value, (len(times), 1)) for path, value in _local(nodes[node]).items()}
        for path in PATHS:
            if (node, path) in tracks:
                parts[path] = tracks[node, path].at(times, path == "rotation")
        local = _matrices(parts)
        worlds[node] = local if parents[node] < 0 else worlds[parents[node]] @ local
    return worlds


def _bound(gltf: _Gltf, skin: Mapping[str, Any]) -> dict[int, Float[np.ndarray, "4 4"]]:
    """The transforms of the joints of a skin as they were bound to it."""
    inverse = gltf.array(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    if len(inverse) < len(skin["joints"]):
        raise ValueError("its skin has fewer bind matrices than joints")
    return dict(zip(skin["joints"], np.linalg.inv(inverse[: len(skin["joints"])])))


def _rotation(matrices: Float[np.ndarray, "F 4 4"]) -> Rotation:
    """The rotations of transforms that also scale. Raises ValueError if one mirrors or flattens."""
    linear = matrices[:, :3, :3]
    if not np.isfinite(linear).all() or (np.linalg.det(linear) <= 0).any():
        raise ValueError("a joint's transform mirrors or flattens")
    return Rotation.from_matrix(linear / np.linalg.norm(linear, axis=1, keepdims=True))
