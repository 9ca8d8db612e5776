"""Reads Acclaim's motions, an .amc with the .asf of its skeleton beside it, as CMU's database has them.

A bone turns at its beginning, about axes of its own: its rotation relative to its parent is C M C^-1, where C are the
bone's axes (ASF `axis`) and M is the frame's rotation (AMC). Angles named X, Y, Z are applied in that order about fixed
axes. Bones at rest are laid out in the world's axes (`direction`, `length`). The format states no frame rate.
"""

import dataclasses
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import Clip, chained
from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import reading

IDENTITY = (0.0, 0.0, 0.0, 1.0)


@dataclasses.dataclass
class _Bone:
    name: str
    vector: np.ndarray  # from its beginning to its end, at rest
    axes: Rotation
    dof: list[str]  # of "tx ty tz rx ry rz", in the order of the frame's numbers
    parent: int = -1


def read_amc(path: Path, fps: float | None = None) -> Clip:
    """The motion of an .amc file.

    The skeleton is the .asf beside it whose name the motion's begins with, or the only one there.

    Args:
        path: the file.
        fps: frames a second; CMU recorded 120.

    Raises:
        UserError: if a file is missing or damaged, or `fps` is None.
    """
    if fps is None:
        raise UserError(f"{path}: an .amc file states no frame rate: add motion_fps=120 (CMU's own), or its own rate.")
    skeleton = _skeleton_of(path)
    with reading(skeleton, "ASF") as file:
        limits.check_size(file, limits.XML_BYTES)
        bones, degrees = _bones(file.read().decode("utf-8", "replace"))
    with reading(path, "AMC") as file:
        limits.check_size(file, limits.MOTION_BYTES)
        frames = _frames(file.read().decode("utf-8", "replace"), bones)
        return _clip(bones, frames, degrees, fps)


def _skeleton_of(path: Path) -> Path:
    beside = sorted(path.parent.glob("*.asf")) if path.exists() else []
    named = [found for found in beside if path.stem.startswith(found.stem)]
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    if len(named) != 1 and len(beside) != 1:
        raise UserError(f"{path} needs the .asf of its skeleton beside it, such as {path.stem.rpartition('_')[0]}.asf.")
    return named[0] if len(named) == 1 else beside[0]


def _sections(text: str) -> dict[str, list[list[str]]]:
    """The words of each line, by section."""
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            current = sections.setdefault(words[0].lower(), [])
        elif words:
            current.append(words)
    return sections


def _bones(text: str) -> tuple[list[_Bone], bool]:
    """The bones, the root first and parents before children, and whether angles are in degrees."""
    sections = _sections(text)
    if missing := {":root", ":bonedata", ":hierarchy"} - sections.keys():
        raise ValueError(f"it has no section {min(missing)}")
    units = {words[0].lower(): words[1:] for words in sections.get(":units", [])}
    degrees = units.get("angle", ["deg"])[0].lower().startswith("deg")
    root = {words[0].lower(): words[1:] for words in sections[":root"]}
    known = {
        "root": _Bone("root", np.zeros(3), _axes(root, "orientation", degrees), [w.lower() for w in root["order"]])
    }
    for block in _blocks(sections[":bonedata"]):
        fields = {words[0].lower(): words[1:] for words in block}
        vector = np.array(fields["direction"][:3], float) * float(fields["length"][0])
        name = fields["name"][0]
        known[name] = _Bone(name, vector, _axes(fields, "axis", degrees), [w.lower() for w in fields.get("dof", [])])
        if not np.isfinite(vector).all():
            raise ValueError(f"the bone {name} has no finite direction and length")
        limits.check_motion(1, len(known))
    order = ["root"]
    for words in (words for block in _blocks(sections[":hierarchy"]) for words in block):
        for child in words[1:]:
            if child in order or child not in known or words[0] not in order:
                raise ValueError(f"its hierarchy has {child} below {words[0]}, which does not fit its bones")
            known[child].parent = order.index(words[0])
            order.append(child)
    return [known[name] for name in order], degrees


def _blocks(lines: list[list[str]]) -> list[list[list[str]]]:
    """The lines between each begin and end."""
    blocks: list[list[list[str]]] = []
    for words in lines:
        if words[0].lower() == "begin":
            blocks.append([])
        elif words[0].lower() != "end":
            blocks[-1].append(words)
    return blocks


def _axes(fields: dict[str, list[str]], key: str, degrees: bool) -> Rotation:
    """The axes of a bone; the letters of their order stand behind the angles, or in the root's line `axis`."""
    numbers = fields.get(key, ["0", "0", "0"])
    order = (numbers[3:] or fields.get("axis", ["XYZ"]))[0]
    return _turn(order, np.array(numbers[:3], float), degrees)


def _turn(order: str, angles: np.ndarray, degrees: bool) -> Rotation:
    """A rotation by angles about fixed axes, the first one first."""
    if not np.isfinite(angles).all():
        raise ValueError("an angle is no finite number")
    return Rotation.from_euler(order.lower(), angles, degrees=degrees)


def _frames(text: str, bones: list[_Bone]) -> list[dict[str, list[float]]]:
    """The numbers of each frame's bones."""
    expected = {bone.name: len(bone.dof) for bone in bones}
    frames: list[dict[str, list[float]]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
            limits.check_motion(len(frames), len(bones))
            continue
        if not frames or expected.get(words[0]) != len(words) - 1:
            raise ValueError(f"frame {len(frames)} has a line that does not fit the skeleton: {line[:40]}")
        frames[-1][words[0]] = [float(word) for word in words[1:]]
    for index, frame in enumerate(frames):
        if lacking := [name for name, count in expected.items() if count and name not in frame]:
            raise ValueError(f"frame {index + 1} lacks the bone {lacking[0]}")
    return frames


def _clip(bones: list[_Bone], frames: list[dict[str, list[float]]], degrees: bool, fps: float) -> Clip:
    parents = tuple(bone.parent for bone in bones)
    limits.check_motion(len(frames), len(bones))
    rest = np.array([np.zeros(3) if bone.parent < 0 else bones[bone.parent].vector for bone in bones])
    rotations = np.tile(IDENTITY, (len(frames), len(bones), 1))
    offsets = np.tile(rest, (len(frames), 1, 1))
    for index, bone in enumerate(bones):
        if not bone.dof:
            continue
        values = np.array([frame[bone.name] for frame in frames])
        for axis, letter in enumerate("xyz"):
            if f"t{letter}" in bone.dof:
                offsets[:, index, axis] += values[:, bone.dof.index(f"t{letter}")]
        turned = [channel for channel in bone.dof if channel[0] == "r"]
        if turned:
            angles = np.stack([values[:, bone.dof.index(channel)] for channel in turned], 1)
            motion = _turn("".join(channel[1] for channel in turned), angles, degrees)
            rotations[:, index] = (bone.axes * motion * bone.axes.inv()).as_quat()
    turns, places = chained(parents, rotations, offsets)
    _, at_rest = chained(parents, np.tile(IDENTITY, (1, len(bones), 1)), rest[None])
    times = np.arange(len(frames)) / fps
    return Clip(tuple(bone.name for bone in bones), parents, at_rest[0], times, turns, places, None)
