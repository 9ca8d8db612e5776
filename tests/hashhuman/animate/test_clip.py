"""Clips at other rates, cut, and with another rest pose."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import clip_of
from hashhuman.errors import UserError
from tests.hashhuman.animate import people

BODY = people.skeleton()


def test_rates_are_converted_by_the_shortest_turns():
    motion = people.motion(BODY, frames=25, fps=120.0)
    clip = people.clip(BODY, motion).sampled(60.0, 0.0, None)
    assert clip.times == pytest.approx(np.arange(13) / 60)
    assert people.apart(clip.rotations, people.clip(BODY, motion).rotations[::2]).max() < 1e-4
    between = people.clip(BODY, motion).sampled(240.0, 0.0, None)
    ends = [Rotation.from_quat(people.clip(BODY, motion).rotations[i, 5]) for i in (0, 1)]
    half = ends[0] * Rotation.from_rotvec(0.5 * (ends[0].inv() * ends[1]).as_rotvec())
    assert people.apart(between.rotations[1, 5], half.as_quat()) < 1e-4
    assert between.positions[1] == pytest.approx((between.positions[0] + between.positions[2]) / 2)


def test_parts():
    clip = people.clip(BODY, people.motion(BODY, frames=31))
    part = clip.sampled(30.0, 0.5, 0.8)
    assert part.times == pytest.approx(np.arange(10) / 30) and part.positions == pytest.approx(clip.positions[15:25])
    assert len(clip.sampled(30.0, 0.0, 99.0).times) == 31 and len(clip.sampled(30.0, 1.0, 1.0).times) == 1
    with pytest.raises(UserError, match=r"animate.start=2 and animate.stop=null leave nothing of a motion of 1.00 s"):
        clip.sampled(30.0, 2.0, None)
    slow = dataclasses.replace(clip, times=clip.times * 1e200)
    with pytest.raises(UserError, match=r"1e\+200 s .* 3e\+201 frames at animate.fps=30, which are too many"):
        slow.sampled(30.0, 0.0, None)


def test_one_frame_stands_still():
    clip = people.clip(BODY, people.motion(BODY, frames=1))
    assert clip.sampled(30.0, 0.0, None).positions == pytest.approx(clip.positions)


def test_another_rest_pose_changes_no_movement():
    clip = people.clip(BODY, people.motion(BODY))
    rested = clip.rested(3)
    assert rested.joints == pytest.approx(clip.positions[3])
    assert people.apart(rested.rotations[3], np.array([0, 0, 0, 1.0])).max() < 1e-4
    apart = rested.joints[5] - rested.joints[2]
    moved = Rotation.from_quat(rested.rotations[6, 2]).apply(apart)
    assert moved == pytest.approx(clip.positions[6, 5] - clip.positions[6, 2])


def test_a_motion_of_ours():
    motion = people.motion(BODY)
    clip, other = clip_of(motion, BODY), people.clip(BODY, motion)
    assert (
        clip.positions == pytest.approx(other.positions) and people.apart(clip.rotations, other.rotations).max() < 1e-4
    )
