"""Feet that stand stay where they are, on the ground; nothing else changes."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hashhuman.animate.ground import Ground
from hashhuman.animate.heights import heights
from hashhuman.export.motion import Motion, Skeleton
from tests import toy
from tests.hashhuman.animate import people

BODY = people.skeleton(30.0)
TEMPLATE = people.template(BODY)
LEGS = [1, 2, 4, 5, 7, 8, 10, 11]
FPS = 30.0


def ground(plant: bool = True) -> Ground:
    return Ground(plant=plant, still=0.5, low=0.05, least=0.05, fade=0.15)


def sway(frames: int = 40, height: float = 0.03) -> Motion:
    """Somebody stands and bends the knees a little, slides slowly forward, and wavers above the ground."""
    time = np.arange(frames) / FPS
    bend = 0.25 + 0.05 * np.sin(2 * time)
    rotations = np.tile([0, 0, 0, 1.0], (frames, 24, 1))
    for joint, share in ((1, -1), (2, -1), (4, 2), (5, 2), (7, -1), (8, -1)):
        rotations[:, joint] = Rotation.from_rotvec(np.outer(share * bend, [1, 0, 0])).as_quat()
    root = np.stack([0.02 * np.sin(time), 0.92 + height + 0.01 * np.sin(3 * time), 0.05 * time], 1)
    return Motion("sway", time, rotations, root, np.eye(4))


def toes(motion: Motion) -> np.ndarray:
    return motion.joints(BODY)[:, [10, 11]]


def test_standing_feet_stay_on_the_ground():
    motion = sway()
    planted = ground()(motion, TEMPLATE)
    assert np.ptp(toes(motion)[..., 2], axis=0).min() > 0.03
    assert np.ptp(toes(planted), axis=0).max() < 1e-3
    assert heights(planted, TEMPLATE) == pytest.approx(0, abs=1e-3)
    others = [joint for joint in range(24) if joint not in LEGS]
    assert people.apart(planted.rotations, motion.rotations)[:, others].max() < 1e-5
    before, after = (m.transforms(BODY)[:, [7, 8], :3, :3] for m in (motion, planted))
    assert after == pytest.approx(before, abs=1e-6)  # feet keep their orientation


def test_knees_bend_to_the_front():
    straight = sway()
    rotations = np.tile([0, 0, 0, 1.0], (*straight.rotations.shape[:2], 1))
    straight = dataclasses.replace(straight, rotations=rotations, root=straight.root * [1, 0, 1] + [0, 0.9, 0])
    low = dataclasses.replace(straight, root=straight.root - np.outer(np.linspace(0, 0.045, 40), [0, 1, 0]))
    planted = ground()(low, TEMPLATE)
    assert np.abs(heights(planted, TEMPLATE)).max() < 2e-3
    flexed = Rotation.from_quat(planted.rotations[:, 4]).as_rotvec(degrees=True)
    assert flexed[-1, 0] > 15 and flexed[:, 0].min() > -1


def test_feet_that_glide_far_are_only_kept_on_the_ground():
    motion = sway(60)
    gliding = dataclasses.replace(motion, root=motion.root + np.outer(motion.times, [0, 0, 0.25]))
    planted = ground()(gliding, TEMPLATE)
    assert toes(planted)[..., [0, 2]] == pytest.approx(toes(gliding)[..., [0, 2]], abs=2e-3)
    assert heights(planted, TEMPLATE) == pytest.approx(0, abs=2e-3)


def test_a_foot_in_the_air_moves_freely_but_not_below_the_ground():
    motion = sway(60, height=0.0)
    lift = Rotation.from_rotvec(np.outer(np.sin(np.linspace(0, np.pi, 60)), [-0.9, 0, 0]))
    rotations = motion.rotations.copy()
    rotations[:, 1] = (Rotation.from_quat(rotations[:, 1]) * lift).as_quat()
    kick = dataclasses.replace(motion, rotations=rotations)
    planted = ground()(kick, TEMPLATE)
    assert people.apart(planted.rotations, kick.rotations)[30, [1, 4, 7]].max() < 0.5
    assert np.ptp(toes(planted)[:, 1], axis=0).max() < 1e-3
    assert heights(planted, TEMPLATE).min() > -1e-3
    acceleration = np.abs(np.diff(toes(planted) - toes(kick), 2, axis=0)).max() * FPS**2
    assert acceleration < 20  # m/s^2: corrections fade, and do not jump


def test_toes_lie_flat_when_the_heel_rises():
    motion = sway(30, height=0.0)
    rotations = motion.rotations.copy()
    tip = Rotation.from_rotvec(np.outer(np.linspace(0, 0.6, 30), [1, 0, 0]))
    for joint in (7, 8):
        rotations[:, joint] = (Rotation.from_quat(rotations[:, joint]) * tip).as_quat()
    planted = ground()(dataclasses.replace(motion, rotations=rotations), TEMPLATE)
    ahead = planted.transforms(BODY)[:, [10, 11], :3, 2]
    assert ahead[..., 1].min() > -0.1
    assert heights(planted, TEMPLATE).min() > -1e-3


def test_without_planting_it_is_moved_as_a_whole():
    motion = sway()
    moved = ground(plant=False)(motion, TEMPLATE)
    assert np.array_equal(moved.rotations, motion.rotations)
    change = moved.root - motion.root
    assert np.ptp(change, axis=0).max() < 1e-12 and change[0, [0, 2]] == pytest.approx([0, 0])
    assert abs(np.median(heights(moved, TEMPLATE))) < 2e-3


def test_nobody_stands_or_has_legs():
    """Then the lowest place of the whole motion is on the ground."""
    jump = sway()
    jump = dataclasses.replace(jump, root=jump.root + np.outer(np.linspace(0, 3, 40) ** 2, [0, 1, 0]) + [0, 0.2, 0])
    running = dataclasses.replace(jump, root=jump.root + np.outer(np.arange(40), [0, 0, 0.2]))
    assert heights(ground()(running, TEMPLATE), TEMPLATE).min() == pytest.approx(0, abs=1e-6)
    body = toy.template()
    motion = people.motion(Skeleton.of(body))
    assert heights(ground()(motion, body), body).min() == pytest.approx(0, abs=1e-6)
