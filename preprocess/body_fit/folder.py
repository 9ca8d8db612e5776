"""The body_fit stage with the user's own bodies.

They lie in a folder with `smpl_params/`, `smpl_lbs/` and perhaps `smpl_vertices/`, in the layout of a subject. Neural
body's names of these folders are known too (`hashhuman.data.subject.layout`).
"""

import dataclasses
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from rich.progress import Progress

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.damage import DAMAGED
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.data.subject.layout import names_in
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io.files import atomic_path
from preprocess.body_fit import pictures, result
from preprocess.body_fit.fill import filled_in
from preprocess.frames.images import CAMERA, image_paths
from preprocess.stage import Stage

AGREE = 0.02  # metres: greatest median distance between the given vertices and those that the parameters make
LEAST_INSIDE = 0.1  # of the vertices must lie in the picture


class FolderFit(Stage):
    """Copies bodies fitted elsewhere into the subject, and checks them.

    A few missing poses are filled in between their neighbours, and reported as interpolated.

    Args:
        path: the folder. `smpl_params/F.npy` is the subject's frame F, in the world coordinates of `annots.npy`.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.

    Raises UserError if the folder lacks `smpl_params/` or `smpl_lbs/`.
    """

    name: ClassVar[str] = "body_fit"

    def __init__(self, path: str, pictures: int = 12, force: bool = False):
        self.path, self.pictures, self.force = Path(path).expanduser(), pictures, force
        self._names = names_in(self.path)
        for needed in ("smpl_params", "smpl_lbs"):
            if not (folder := self.path / self._names[needed]).is_dir():
                raise UserError(f"There is no folder {folder}: preprocess.body_fit.path must name fitted bodies.")

    def inputs(self, subject: Path) -> list[Path]:
        names = (self._names["smpl_params"], self._names["smpl_lbs"], self._names["smpl_vertices"], "subject.json")
        given = [self.path / name for name in names]
        return [subject / "annots.npy", *(path for path in given if path.exists())]

    def outputs(self, subject: Path) -> list[Path]:
        folders = [subject / "smpl_params", subject / "smpl_vertices", subject / "pictures" / self.name]
        return [result.report_path(subject), *folders, *result.template_paths(subject)]

    def settings(self) -> dict[str, Any]:
        return {"pictures": self.pictures}

    def run(self, subject: Path, progress: Progress) -> str:
        paths = image_paths(subject)
        absent = self._copy(subject, list(paths))
        given = Subject(subject)
        known = {frame: given.pose(frame) for frame in paths if frame not in absent}
        for frame, pose in (filled_in(known, absent) if absent else {}).items():
            SubjectWriter(subject).write_pose(frame, pose)
        template, camera = given.template(), given.camera(CAMERA)
        SubjectWriter(subject).write_template(template)

        vertices, joints, overlaps = [], [], []
        for frame in progress.track(paths, description="checking bodies"):
            pose = given.pose(frame)
            world = pose.world_from_posed()
            bones = skinning.transform(template.bone_transforms(pose.body_pose), template.joints)
            joints.append((bones @ world[:3, :3].T + world[:3, 3]).numpy())
            vertices.append(given.vertices(frame))
            self._check(frame, vertices[-1], pose, template, camera)
            SubjectWriter(subject).write_vertices(frame, vertices[-1])
            overlaps.append(result.network_iou(subject, frame, vertices[-1], template.faces.numpy(), camera))
        report = result.FitReport.of_given(list(paths), overlaps, joints, template.joint_names)
        report = dataclasses.replace(report, interpolated=np.isin(report.frames, absent))
        report.save(result.report_path(subject))
        pictures.draw_sequence(paths, vertices, template, camera, subject / "pictures" / self.name, self.pictures)
        return f"{len(paths) - len(absent)} bodies copied, {report.summary()}"

    def _copy(self, subject: Path, frames: list[int]) -> list[int]:
        """Copies the files of the rest body and of the frames, and returns the frames without a pose.

        Raises UserError if there are many.
        """
        params = self.path / self._names["smpl_params"]
        absent = [frame for frame in frames if not (params / f"{frame}.npy").exists()]
        if len(absent) > DAMAGED * len(frames):
            raise UserError(
                f"{params} lacks {absent[0]}.npy: it must hold one file for each of the {len(frames)} pictures."
            )
        needed = [Path("smpl_params") / f"{frame}.npy" for frame in frames]
        needed += [Path("smpl_vertices") / f"{frame}.npy" for frame in frames if frame not in absent]
        needed += [path.relative_to(subject) for path in result.template_paths(subject)]
        for name in needed:
            given = self.path / self._names[name.parts[0]] / name.name
            if given.exists():
                with atomic_path(subject / name) as path:
                    shutil.copyfile(given, path)
        return absent

    def _check(self, frame: int, vertices: np.ndarray, pose: BodyPose, template: BodyTemplate, camera: Camera) -> None:
        """Raises UserError for a body outside the picture, and for vertices that do not agree with the parameters."""
        pixels = camera.project(torch.from_numpy(vertices)).numpy()
        inside = (
            (pixels[:, :2] > 0).all(1) & (pixels[:, :2] < [camera.width, camera.height]).all(1) & (pixels[:, 2] > 0)
        )
        if inside.mean() < LEAST_INSIDE:
            raise UserError(
                f"the body of frame {frame} in {self.path} lies outside the picture: "
                "its world coordinates must be those of annots.npy (metres, OpenCV axes)."
            )
        world = pose.world_from_posed()
        skinned = (template.pose_vertices(pose.body_pose) @ world[:3, :3].T + world[:3, 3]).numpy()
        distance = float(np.median(np.linalg.norm(skinned - vertices, axis=1)))
        if distance > AGREE:
            raise UserError(
                f"{self.path / 'smpl_vertices'}/{frame}.npy lies {100 * distance:.0f} cm from the body that "
                "smpl_params and smpl_lbs make: Rh must rotate about the origin (world = R(Rh) posed + Th)."
            )
