"""Reads BVH files, of any order of channels.

The hierarchy must have one root, and the motion as many rows and numbers as the file promises. Position channels
replace the offset, as in Blender. (Other programs add them to the root's offset. That differs by a constant, which a
retargeted motion does not have.) The format states neither units nor axes.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import Clip, chained
from hashhuman.io import limits
from hashhuman.io.files import reading

_CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)


@dataclasses.dataclass
class _Joint:
    name: str
    parent: int
    offset: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = dataclasses.field(default_factory=list)  # "xposition", in the file's order


def read_bvh(path: Path) -> Clip:
    """The motion of a BVH file. End sites become joints that are called like their parent with " end".

    Raises:
        UserError: if the file is missing, or damaged: it names what it lacks.
    """
    with reading(path, "BVH") as file:
        limits.check_size(file, limits.MOTION_BYTES)
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
        lines = [line for line in lines if line]
        begin = next((i for i, line in enumerate(lines) if line.upper() == "MOTION"), None)
        if begin is None:
            raise ValueError("it has no line MOTION")
        joints = _hierarchy(lines[:begin])
        width = sum(len(joint.channels) for joint in joints)
        frame_time, rows = _rows(lines[begin + 1 :], width, len(joints))
        return _clip(joints, frame_time, rows)


def _hierarchy(lines: list[str]) -> list[_Joint]:
    if not lines or lines[0].upper() != "HIERARCHY":
        raise ValueError("it does not begin with the line HIERARCHY")
    joints: list[_Joint] = []
    open_joints: list[int] = []
    named = False  # whether a joint waits for its brace
    for line in lines[1:]:
        word, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if word.upper() in ("ROOT", "JOINT", "END"):
            if (word.upper() == "ROOT") != (not joints) or (joints and not open_joints) or named:
                raise ValueError("it must have one ROOT, with all joints inside it")
            parent = open_joints[-1] if open_joints else -1
            name = f"{joints[parent].name} end" if word.upper() == "END" else rest.removesuffix("{").strip()
            joints.append(_Joint(name, parent))
            limits.check_motion(1, len(joints))
            named = True
            line = "{" if rest.endswith("{") else ""
        if line == "{":
            if not named:
                raise ValueError("a brace opens where no joint is named")
            open_joints.append(len(joints) - 1)
            named = False
        elif line == "}":
            if not open_joints:
                raise ValueError("more braces close than open")
            open_joints.pop()
        elif word.upper() == "OFFSET" and open_joints:
            joints[open_joints[-1]].offset = _numbers(rest.split(), 3, f"OFFSET of {joints[open_joints[-1]].name}")
        elif word.upper() == "CHANNELS" and open_joints:
            joints[open_joints[-1]].channels = _channels(rest.split(), joints[open_joints[-1]].name)
        elif line:
            raise ValueError(f"its hierarchy has a line that is not understood: {line[:40]}")
    if open_joints or named or not joints:
        raise ValueError("its hierarchy ends too early")
    return joints


def _channels(words: list[str], name: str) -> list[str]:
    matched = [_CHANNEL.fullmatch(word) for word in words[1:]]
    channels = [found.group().lower() for found in matched if found]
    if not words or words[0] != str(len(matched)) or len(channels) != len(matched) or len({*channels}) < len(channels):
        raise ValueError(f"the CHANNELS of {name} must be a number and as many of Xposition ... Zrotation")
    return channels


def _numbers(words: list[str], count: int, what: str) -> list[float]:
    values = [float(word) for word in words]
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{what} must be {count} finite numbers")
    return values


def _rows(lines: list[str], width: int, joints: int) -> tuple[float, Float[np.ndarray, "F C"]]:
    """The frame time (s) and the frames' numbers."""
    heads = [re.split(r":\s*|\s(?=[\d.+-]+$)", line, maxsplit=1) for line in lines[:2]]
    if [head[0].strip().lower() for head in heads] != ["frames", "frame time"] or any(len(h) < 2 for h in heads):
        raise ValueError("MOTION must be followed by the lines Frames: and Frame Time:")
    promised, frame_time = int(heads[0][1]), float(heads[1][1])
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise ValueError(f"its frame time is {heads[1][1]}, and must be above 0 s")
    rows = lines[2:]
    if len(rows) != promised:
        raise ValueError(f"it promises {promised} frames, and has {len(rows)}")
    limits.check_motion(promised, joints)
    values = np.empty((promised, width))
    for index, row in enumerate(rows):
        values[index] = _numbers(row.split(), width, f"row {index + 1} of its motion")
    return frame_time, values


def _clip(joints: list[_Joint], frame_time: float, rows: Float[np.ndarray, "F C"]) -> Clip:
    rotations = np.tile([0.0, 0.0, 0.0, 1.0], (len(rows), len(joints), 1))
    rest = np.array([joint.offset for joint in joints])
    offsets = np.tile(rest, (len(rows), 1, 1))
    column = 0
    for index, joint in enumerate(joints):
        own = {name: rows[:, column + i] for i, name in enumerate(joint.channels)}
        column += len(own)
        for axis, letter in enumerate("xyz"):
            if (moved := own.get(f"{letter}position")) is not None:
                offsets[:, index, axis] = moved
        turned = [name for name in joint.channels if name.endswith("rotation")]
        if turned:  # R = R1 R2 R3: each about the axes that those before it have turned
            angles = np.stack([own[name] for name in turned], 1)
            order = "".join(name[0] for name in turned).upper()
            rotations[:, index] = Rotation.from_euler(order, angles, degrees=True).as_quat()
    parents = tuple(joint.parent for joint in joints)
    turns, places = chained(parents, rotations, offsets)
    _, at_rest = chained(parents, rotations[:1] * 0 + [0, 0, 0, 1], rest[None])
    times = np.arange(len(rows)) * frame_time
    return Clip(tuple(joint.name for joint in joints), parents, at_rest[0], times, turns, places, None)
