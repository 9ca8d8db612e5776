"""The whole way from a file to a video and files, with an avatar whose pictures are known."""

import dataclasses

import av
import numpy as np
import pytest

from hashhuman.animate.animator import Animator
from hashhuman.animate.camera import Filmed, Orbit
from hashhuman.animate.clip import clip_of
from hashhuman.animate.ground import Ground
from hashhuman.animate.heights import heights
from hashhuman.animate.readers.read import read
from hashhuman.animate.retarget import Retargeting
from hashhuman.export.bvh import BvhFile, bvh
from hashhuman.export.exporter import Exporter
from hashhuman.export.motion import Skeleton, captured
from hashhuman.export.smpl_npz import SmplNpzFile
from tests import toy
from tests.hashhuman.animate import people
from tests.hashhuman.export.conftest import rigging
from tests.hashhuman.fakes import FakeAvatar, FakeData

FORMATS = {"bvh": BvhFile(1.0), "npz": SmplNpzFile()}


def animator(camera, video="gif", formats=("bvh", "npz"), **more) -> Animator:
    options = {"fps": 10, "start": 0.0, "stop": None, "retargeting": Retargeting()} | more
    return Animator(
        **options,
        ground=Ground(plant=True, still=0.5, low=0.05, least=0.05, fade=0.15),
        camera=camera,
        video=video,
        background=1.0,
        exporter=Exporter(list(formats), FORMATS, rigging(), 25.0),
    )


@pytest.fixture
def data(toy_folder):
    found = FakeData(toy_folder, train_frames=6, holdout_every=3)
    found.scale = lambda height, width: 1.0
    return found


def test_the_filmed_motion_as_filmed_shows_what_was_filmed(data):
    """A run's own motion goes out and in again, and lands where it was."""
    skeleton = Skeleton.of(toy.template())
    filmed = captured(FakeAvatar(), data, 25.0)
    own = animator(Filmed(height=None, camera=0), fps=25)
    motion = own.motion(FakeAvatar(), data, "again", clip_of(filmed, skeleton))
    assert people.apart(motion.rotations, filmed.rotations).max() < 1e-3
    assert motion.root == pytest.approx(filmed.root, abs=1e-4)
    for frame, picture in own.pictures(FakeAvatar(), data, motion, [0, 3]):
        truth = toy.cast(toy.world_vertices(toy.template(), frame), toy.template().faces, toy.camera(0)) >= 0
        assert ((picture < 255).any(-1) != truth).mean() < 0.01  # edges, by rounding


def test_from_a_file_to_files(data, tmp_path):
    body = people.skeleton(20.0)
    path = tmp_path / "wave.bvh"
    path.write_text(bvh(body, people.motion(body, frames=31), 1.0))
    made = animator(Orbit(height=32, turns=1.0, azimuth=0.0), stop=0.5)(
        FakeAvatar(), data, "wave", read(path), tmp_path / "out"
    )
    assert made == {name: tmp_path / "out" / file for name, file in
                    (("bvh", "motion.bvh"), ("npz", "motion.npz"), ("video", "animation.gif"))}  # fmt: skip
    with np.load(made["npz"]) as content:
        assert len(content["times"]) == 6 and content["mocap_framerate"] == pytest.approx(10)
        assert tuple(content["joint_names"]) == toy.JOINT_NAMES
        arm = content["body_pose"].reshape(6, 4, 3)[:, 1]
    assert np.abs(arm).max() > 0.1  # the left arm moves
    again = read(made["bvh"])
    assert len(again.times) == 6
    with av.open(str(made["video"])) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 6 and pictures[0].shape[0] == 32
    assert all((picture < 200).any() for picture in pictures)


def test_only_files_and_only_a_part(data, tmp_path):
    body = people.skeleton()
    clip = people.clip(body, people.motion(body, frames=31))
    made = animator(Orbit(32, 1.0, 0.0), video=None, formats=("npz",), start=0.2, stop=0.4)(
        FakeAvatar(), data, "part", clip, tmp_path
    )
    assert list(made) == ["npz"] and {path.name for path in tmp_path.iterdir()} == {"motion.npz"}
    motion = animator(Orbit(32, 1.0, 0.0), start=0.2, stop=0.4).motion(FakeAvatar(), data, "part", clip)
    assert motion.times == pytest.approx([0, 0.1, 0.2]) and motion.name == "part"
    assert heights(motion, toy.template()).min() == pytest.approx(0, abs=1e-5)
    assert motion.root[0, [0, 2]] == pytest.approx([0, 0])
    rested = dataclasses.replace(clip, times=clip.times[:1], rotations=clip.rotations[:1], positions=clip.positions[:1])
    assert len(animator(Orbit(32, 1.0, 0.0)).motion(FakeAvatar(), data, "one", rested).times) == 1
