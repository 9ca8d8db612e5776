"""BVH, read by a reader of the test's own: the joints of the run come out."""

import numpy as np
import pytest

from hashhuman.export.bvh import bvh, euler_degrees


def rotation(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        {
            "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
            "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def read(text: str) -> tuple[float, list[dict[str, np.ndarray]]]:
    """Frame time, and for each frame the joints' positions by name. Position channels replace the offset."""
    head, _, tail = text.partition("MOTION")
    joints, stack, pending = [], [], None
    for words in map(str.split, head.splitlines()[1:]):
        if words[0] in ("ROOT", "JOINT", "End"):
            pending = {"name": words[1], "parent": stack[-1] if stack else None, "channels": []}
            joints.append(pending)
        elif words[0] == "{":
            stack.append(pending)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET":
            stack[-1]["offset"] = np.array(words[1:], float)
        elif words[0] == "CHANNELS":
            assert int(words[1]) == len(words) - 2
            stack[-1]["channels"] = words[2:]
    assert not stack and sum(joint["parent"] is None for joint in joints) == 1
    lines = tail.strip().splitlines()
    rows = [[float(word) for word in line.split()] for line in lines[2:]]
    assert len(rows) == int(lines[0].split()[1])
    frames = []
    for row in rows:
        assert len(row) == sum(len(joint["channels"]) for joint in joints)
        numbers, placed, found = iter(row), {}, {}
        for joint in joints:
            local = np.eye(4)
            local[:3, 3] = joint["offset"]
            for channel in joint["channels"]:
                value = next(numbers)
                if channel.endswith("position"):
                    local["XYZ".index(channel[0]), 3] = value
                else:
                    local[:3, :3] = local[:3, :3] @ rotation(channel[0], value)
            parent = np.eye(4) if joint["parent"] is None else placed[id(joint["parent"])]
            placed[id(joint)] = parent @ local
            if joint["channels"]:
                found[joint["name"]] = placed[id(joint)][:3, 3]
        frames.append(found)
    return float(lines[1].split()[-1]), frames


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_joints_are_those_of_the_run(exports, scale):
    text = bvh(exports.skeleton, exports.motion, scale)
    frame_time, frames = read(text)
    assert frame_time == pytest.approx(1 / 25) and len(frames) == 6
    own = exports.motion.joints(exports.skeleton)
    for frame, joints in zip(own, frames):
        for name, place in zip(exports.skeleton.names, frame):
            assert joints[name] / scale == pytest.approx(place, abs=1e-4)
    assert "OFFSET 0.000000 0.000000 0.000000\n  CHANNELS 6" in text and text.count("End Site") == 4


def test_angles_do_not_jump_by_a_turn():
    from scipy.spatial.transform import Rotation

    spin = Rotation.from_rotvec(np.outer(np.linspace(0, 3 * np.pi, 30), [0, 0, 1])).as_quat()[:, None]
    assert np.abs(np.diff(euler_degrees(spin), axis=0)).max() < 30
