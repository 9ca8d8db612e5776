"""Draws the picture that README.md begins with, docs/images/title.jpg, from a finished run of video=demo.

python docs/draw_title.py outputs/demo/TIME

From left to right: a picture of the video that training did not see, the avatar from the same camera, and the avatar in
three poses that nobody filmed, from a side that was. The recording is Pose2Sim's (docs/licences.md).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from scipy.spatial.transform import Rotation

import hashhuman
from hashhuman.animate.camera import front
from hashhuman.api import LoadedRun
from hashhuman.body.standing import upward
from hashhuman.body.template import BodyPose
from hashhuman.body.visibility import world_vertices
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import write_image

TARGET = Path(__file__).parent / "images/title.jpg"
FRAME = 75  # a held-out one in which the person is seen whole, and nobody else is
HEIGHT = 420  # of the drawing, pixels
AZIMUTH = -30  # degrees: towards the filmed side
GREY = 0.93  # the ground behind the avatar
POSES: tuple[Mapping[str, tuple[int, int, int]], ...] = (  # degrees by which joints are turned from rest
    {},
    {"left_shoulder": (0, 0, -40), "right_shoulder": (0, 0, -50), "right_elbow": (0, 0, -60)},
    {
        "left_shoulder": (0, 0, 35),
        "right_shoulder": (0, 0, -35),
        "left_elbow": (0, 0, 40),
        "right_elbow": (0, 0, -40),
        "left_hip": (-75, 0, 0),
        "left_knee": (85, 0, 0),
    },
)

Image = UInt8[np.ndarray, "H W 3"]


def main() -> None:
    """Draws the picture of the run on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-root", help="the run's subject folder, if that has moved")
    given = parser.parse_args()
    write_image(TARGET, drawing(hashhuman.load(given.run, given.data_root)))


def drawing(run: LoadedRun) -> Image:
    """The panels of a run beside each other, at one height."""
    (picture,) = (each for each in run.data.subject.pictures if (each.camera, each.frame) == (0, FRAME))
    filmed, camera = run.data.subject.pose(FRAME), run.data.subject.camera(0)  # of the pictures' full size
    box = surroundings(run, filmed, camera)
    panels = [run.data.subject.image(picture)[box], run.render(filmed, camera, GREY)[box]]
    for degrees in POSES:
        pose = run.turned(standing(run), degrees)
        camera = run.around(pose, AZIMUTH, HEIGHT)
        panels.append(run.render(pose, camera, GREY)[surroundings(run, pose, camera)])
    return np.concatenate([resized(panel) for panel in panels], 1)


def standing(run: LoadedRun) -> BodyPose:
    """The body at rest and upright, facing the way it faced in the first frame."""
    up = upward(run.data.subject.template(), [run.pose(frame) for frame in run.frames])
    facing = front(run.pose(run.frames[0]))
    ahead = torch.nn.functional.normalize(facing - (facing @ up) * up, dim=0)
    axes = torch.stack([torch.linalg.cross(up, ahead), up, ahead], 1)
    orient = torch.from_numpy(Rotation.from_matrix(axes.numpy()).as_rotvec()).float()
    return BodyPose(torch.zeros(len(run.joints), 3), orient, torch.zeros(3))


def surroundings(run: LoadedRun, pose: BodyPose, camera: Camera) -> tuple[slice, slice]:
    """Rows and columns of a picture: the body, and a tenth of its height around it."""
    seen = camera.project(world_vertices(run.data.subject.template(), pose))[:, :2].numpy()
    margin = (seen[:, 1].max() - seen[:, 1].min()) / 10
    left, top = np.maximum(seen.min(0) - margin, 0).astype(int)
    right, bottom = (seen.max(0) + margin).astype(int)
    return slice(top, bottom), slice(left, right)


def resized(image: Image) -> Image:
    """The picture at the drawing's height."""
    width = round(image.shape[1] * HEIGHT / image.shape[0])
    return cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    main()
