"""Renders the scene into a subject folder."""

from pathlib import Path

import numpy as np
import torch

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_joints
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.data.subject import SubjectWriter
from hashhuman.data.synthetic.mannequin import mannequin, mesh
from hashhuman.data.synthetic.motion import motion
from hashhuman.data.synthetic.ray_tracing import render
from hashhuman.data.synthetic.wardrobe import Wardrobe
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io import files
from hashhuman.io.progress import track

VERSION = 1  # of the scene; a folder with another version is rendered again


class SyntheticScene:
    """Renders the mannequin into a subject folder. Camera 0 is the training camera.

    Args:
        seed: seed of the clothes' colours and the motion.
        n_frames: number of training frames; they come first.
        n_novel: number of frames after them, whose poses training does not see.
        n_cameras: number of cameras on a circle around the mannequin.
        test_every: all cameras but the first see every `test_every`-th frame only.
        size: side of the square pictures (pixels).
    """

    def __init__(self, seed: int, n_frames: int, n_novel: int, n_cameras: int, test_every: int, size: int) -> None:
        self.settings = {
            "version": VERSION, "seed": seed, "frames": n_frames, "novel": n_novel, "cameras": n_cameras,
            "test_every": test_every, "size": size,
        }  # fmt: skip

    def prepare(self, root: str | Path) -> None:
        """Renders the scene into the folder `root`, unless it already holds the scene with the same settings."""
        root = Path(root)
        stamp = root / "scene.json"
        if stamp.exists() and files.load_json(stamp) == self.settings:
            return
        stamp.unlink(missing_ok=True)  # written last: a folder without it is incomplete
        self.write(SubjectWriter(root))
        files.save_json(stamp, self.settings)

    def write(self, writer: SubjectWriter) -> None:
        """Writes everything but scene.json, which marks the folder as complete."""
        settings = self.settings
        rng = np.random.default_rng(settings["seed"])
        capsules, wardrobe = mannequin(), Wardrobe(rng)
        template = mesh(capsules)
        poses = motion(settings["frames"], rng, novel=False) + motion(settings["novel"], rng, novel=True)
        cameras = [ring_camera(index, settings["cameras"], settings["size"]) for index in range(settings["cameras"])]
        labels = np.array([*(lip_class(capsule.joint) for capsule in capsules), 0], np.uint8)
        for frame, pose in enumerate(track(poses, "rendering the synthetic scene", unit="frames")):
            world_from_posed = pose.world_from_posed()
            world_from_rest = (world_from_posed @ template.bone_transforms(pose.body_pose)).double().numpy()
            writer.write_pose(frame, pose)
            writer.write_vertices(
                frame, skinning.transform(world_from_posed, template.pose_vertices(pose.body_pose)).numpy()
            )
            for index, camera in enumerate(cameras):
                if index and frame % settings["test_every"]:
                    continue
                image, coverage, seen = render(capsules, wardrobe, world_from_rest, camera)
                writer.write_image(index, frame, image)
                writer.write_mask(index, frame, coverage)
                writer.write_parts(index, frame, labels[seen])
        writer.write_template(template)
        rows = [[writer.image_path(index, frame) for index in range(len(cameras))] for frame in range(len(poses))]
        writer.write_annots(cameras, [np.zeros(5)] * len(cameras), rows)
        writer.update_meta(body_model="mannequin of capsules", made_by={"synthetic": self.settings})


def ring_camera(index: int, count: int, size: int) -> Camera:
    """Camera `index` of `count` on a circle of 2.9 m around the mannequin, alternately a little above and below it.

    Pictures are `size` pixels wide and high.
    """
    azimuth, elevation = 2 * np.pi * index / count, 0.05 if index == 0 else 0.12 * (-1) ** index
    away = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.cross(-away, [0, 1, 0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(-away, right), -away])
    eye = np.array([0.0, -0.05, 0.0]) + 2.9 * away
    K = np.array([[1.3 * size, 0, size / 2 - 0.5], [0, 1.3 * size, size / 2 - 0.5], [0, 0, 1]])
    K, R, T = (torch.from_numpy(x).float() for x in (K, R, -R @ eye))
    return Camera(K, R, T, size, size)


def lip_class(joint: str) -> int:
    """The LIP class (`hashhuman.data.lip`) of the body part that a joint of SMPL moves."""
    part = list(INSTANT_NVR_PARTS)[part_of_joints(SMPL_JOINTS, INSTANT_NVR_PARTS)[SMPL_JOINTS.index(joint)]]
    classes = {"body": 5, "head": 13, "larm": 14, "rarm": 15, "leg": 16 if joint.startswith("left") else 17}
    return classes[part]
