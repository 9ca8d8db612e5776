"""The body_fit stage by EasyMocap (PARE, then its fit of SMPL), or from a folder that EasyMocap has written."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from hashhuman.body.model import BodyModel, files_of, settings_of
from hashhuman.body.smpl.body import SmplBody
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from preprocess.body_fit import pictures, result
from preprocess.body_fit.source.join import ALIKE, NEAR, Seen
from preprocess.calibration.cameras import Calibration
from preprocess.easymocap.output import BODIES, Body, Output, assumed_intrinsics
from preprocess.easymocap.source import Source
from preprocess.frames.images import CAMERA, image_paths
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.stage import Stage

LEAST_INSIDE = 0.1  # of the vertices must lie in the picture
AGREE = 0.03  # metres: greatest median distance of EasyMocap's vertices from those that its parameters make here


class EasyMocapFit(Stage):
    """Converts EasyMocap's SMPL bodies to the subject's world.

    Where EasyMocap wrote no vertices, they are made from its parameters, with pose blend shapes.

    Args:
        easymocap: runs EasyMocap, or names the folder that it has written.
        body: makes the SMPL model that it fitted; the poses are meaningless for any other body.
        person: EasyMocap's id of the person; None takes whom the keypoints show, under whatever ids, and without
            keypoints the one in most frames.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "body_fit"

    def __init__(
        self,
        easymocap: Source,
        body: Callable[[], BodyModel],
        person: int | None = None,
        pictures: int = 12,
        force: bool = False,
    ):
        self.easymocap, self.body, self.person = easymocap, body, person
        self.pictures, self.force = pictures, force

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "annots.npy", points_path(subject), *self.easymocap.inputs(subject), *files_of(self.body)]

    def outputs(self, subject: Path) -> list[Path]:
        folders = [subject / "smpl_params", subject / "smpl_vertices", subject / "pictures" / self.name]
        return [result.report_path(subject), *folders, *result.template_paths(subject)]

    def settings(self) -> dict[str, Any]:
        easymocap = {"source": type(self.easymocap).__name__, **self.easymocap.settings()}
        body = settings_of(self.body)
        return {"easymocap": easymocap, "body": body, "person": self.person, "pictures": self.pictures}

    def missing(self) -> str | None:
        absent = [path for path in files_of(self.body) if not path.exists()]
        if absent:
            return f"{absent[0]} does not exist: EasyMocap's bodies need the SMPL model that it fitted (body=smpl)."
        return self.easymocap.missing()

    def run(self, subject: Path, progress: Progress) -> str:
        model = self.body()  # before EasyMocap, which may take an hour, so that a missing file is found first
        if not isinstance(model, SmplBody):
            raise UserError("EasyMocap's poses are of SMPL, and fit no other body: add body=smpl.")
        output = self.easymocap.bodies(subject, progress)
        paths, camera = image_paths(subject), Subject(subject).camera(CAMERA)
        people = output.people_fitted(list(paths), len(model.parents))
        ids = [self.person] if self.person is not None else _same_person(people, model, output, camera, subject)
        bodies = output.bodies(people, list(paths), ids)
        shape = _shape(bodies, len(model.shape_mean))
        converter = _Converter(model, model.template(torch.from_numpy(shape)), output, camera)
        steps = progress.track(list(zip(paths, bodies)), description="converting bodies")
        placed = [converter(frame, body) for frame, body in steps]

        writer, template = SubjectWriter(subject), converter.template
        writer.write_template(template)
        overlaps = []
        for frame, one in zip(paths, placed):
            writer.write_pose(frame, one.pose, shape)
            writer.write_vertices(frame, one.vertices)
            overlaps.append(result.network_iou(subject, frame, one.vertices, template.faces.numpy(), camera))
        writer.update_meta(body=model.name, shape={n: round(float(x), 4) for n, x in zip(model.shape_names, shape)})
        joints = [one.joints for one in placed]
        report = result.FitReport.of_given(list(paths), overlaps, joints, template.joint_names)
        report.save(result.report_path(subject))
        folder = subject / "pictures" / self.name
        pictures.draw_sequence(paths, [one.vertices for one in placed], template, camera, folder, self.pictures)
        joined = f"its ids {' and '.join(map(str, ids))} are one person's" if len(ids) > 1 else ""
        return ", ".join(filter(None, [f"{len(paths)} bodies of EasyMocap", joined, report.summary()]))


def _same_person(
    people: Sequence[dict[int, Body]], model: SmplBody, output: Output, camera: Camera, subject: Path
) -> list[int]:
    """EasyMocap's ids of the person of the keypoints, the nearest first; without keypoints, of the most frequent.

    Raises UserError if nobody is where the keypoints are.
    """
    counts = collections.Counter(id for each in people for id in each)
    path = points_path(subject)
    keypoints = Keypoints.load(path) if path.exists() else None
    if keypoints is None or not keypoints.detected.any() or len(keypoints.frames) != len(people):
        return [min(counts, key=lambda id: (-counts[id], id))]
    seen = Seen.of(keypoints.image_points, keypoints.visibility * keypoints.detected[:, None])
    template, calibration = model.template(torch.zeros(len(model.shape_mean))), output.calibration()
    off: dict[int, list[float]] = {id: [] for id in counts}
    for row in np.flatnonzero(seen.known).tolist():
        for id, body in people[row].items():
            body_pose = torch.from_numpy(body.body_pose).float()
            bones = skinning.transform(template.bone_transforms(body_pose), template.joints).double().numpy()
            R, T = place(body, bones, calibration, camera)
            pixels = camera.project(torch.from_numpy(bones @ R.T + T).float()).numpy()[:, :2]
            off[id].append(float(np.linalg.norm(pixels.mean(0) - seen.middle[row]) / seen.height[row]))
    away = {id: float(np.median(values)) for id, values in off.items() if values}
    near = sorted((id for id in away if away[id] <= NEAR), key=lambda id: away[id])
    if not near:
        nearest = f" (the nearest is {min(away.values()):.1f} heights away)" if away else ""
        raise UserError(
            f"nobody in {output.folder(BODIES)} is where the keypoints show the person{nearest}: choose the same "
            "person with preprocess.body_fit.person= (EasyMocap's id) and preprocess.keypoints.person=."
        )
    usual = away[near[0]]
    return [id for id in near if away[id] <= usual + ALIKE and not _meet(people, near[0], id)]


def _meet(people: Sequence[dict[int, Body]], first: int, other: int) -> bool:
    """Whether two ids are in one frame, and so of two people."""
    return first != other and any(first in each and other in each for each in people)


@dataclasses.dataclass(frozen=True)
class _Placed:
    """A body in the subject's world."""

    pose: BodyPose
    vertices: Float[np.ndarray, "V 3"]  # m, world, float32
    joints: Float[np.ndarray, "J 3"]  # m, world


@dataclasses.dataclass(frozen=True)
class _Converter:
    """Converts bodies, one at a time, from EasyMocap's world to the subject's."""

    model: SmplBody
    template: BodyTemplate
    output: Output
    camera: Camera

    def __call__(self, frame: int, body: Body) -> _Placed:
        body_pose = torch.from_numpy(body.body_pose).float()
        bones = skinning.transform(self.template.bone_transforms(body_pose), self.template.joints).double().numpy()
        R, T = place(body, bones, self.output.calibration(), self.camera)
        vertices = (self._posed(frame, body, body_pose) @ R.T + T).astype(np.float32)
        self._refuse_unseen(frame, vertices)
        orient, transl = (torch.from_numpy(x).float() for x in (Rotation.from_matrix(R).as_rotvec(), T))
        return _Placed(BodyPose(body_pose, orient, transl), vertices, bones @ R.T + T)

    def _posed(self, frame: int, body: Body, body_pose: torch.Tensor) -> Float[np.ndarray, "V 3"]:
        """Vertices (m) before orientation and translation: EasyMocap's own if it wrote any, else of its parameters.

        Raises UserError if it wrote others than the parameters make: this SMPL is not the one that it fitted.
        """
        made = self.model.pose_vertices(self.template, body_pose).double().numpy()
        given = self.output.vertices(frame, body.id)
        if given is None:
            return made
        posed = (given - body.transl) @ Rotation.from_rotvec(body.orient).as_matrix()
        distance = np.median(np.linalg.norm(posed - made, axis=1)) if len(posed) == len(made) else np.inf
        if distance > AGREE:
            raise UserError(
                f"EasyMocap's {len(posed)} vertices of frame {frame} differ from the {len(made)} that its parameters "
                "make with this SMPL: name the SMPL file that EasyMocap fitted with body.root= and body.model=."
            )
        return posed

    def _refuse_unseen(self, frame: int, vertices: np.ndarray) -> None:
        """Raises UserError if the camera does not see the body."""
        pixels, size = self.camera.project(torch.from_numpy(vertices)).numpy(), (self.camera.width, self.camera.height)
        inside = (pixels[:, :2] > 0).all(1) & (pixels[:, :2] < size).all(1) & (pixels[:, 2] > 0)
        if inside.mean() < LEAST_INSIDE:
            raise UserError(
                f"the body of frame {frame} in {self.output.root} lies outside the picture: check that it is of this "
                "video, this camera (preprocess.easymocap.camera=) and these frames (start=, step=)."
            )


def place(
    body: Body, bones: Float[np.ndarray, "J 3"], calibration: Calibration | None, camera: Camera
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rotation and translation (m) from posed space to the subject's world.

    EasyMocap's calibrated camera and the subject's are one camera in two worlds. If EasyMocap had no calibration, it
    assumed intrinsics. Where the subject's differ from those, the body is moved so that its joints keep their pixels.

    Args:
        body: EasyMocap's parameters.
        bones: the joints in posed space (m).
        calibration: of EasyMocap's camera; None if it had none.
        camera: the subject's.
    """
    R, T = (np.eye(3), np.zeros(3)) if calibration is None else (calibration.R, calibration.T)
    turn = R @ Rotation.from_rotvec(body.orient).as_matrix()
    shift = R @ body.transl + T
    if calibration is None:
        assumed = assumed_intrinsics(camera.height, camera.width)
        shift = shift + keep_pixels(bones @ turn.T + shift, assumed, camera.K.double().numpy())
    world_from_camera = camera.R.double().numpy().T
    return world_from_camera @ turn, world_from_camera @ (shift - camera.T.double().numpy())


def keep_pixels(
    points: Float[np.ndarray, "N 3"], K: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "3"]:
    """The translation d (m) after which a camera `other` sees points (m, camera axes) at the pixels where K sees them.

    In least squares: column u of a point x asks for f (x + d)_x + (c - u) (x + d)_z = 0, which is linear in d; its row
    likewise.
    """
    pixels = points @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    lines = np.repeat(other[None, :2], len(points), 0)  # N, 2, 3
    lines[..., 2] -= pixels
    return np.linalg.lstsq(lines.reshape(-1, 3), -np.einsum("nri,ni->nr", lines, points).ravel(), rcond=None)[0]


def _shape(bodies: list[Body], count: int) -> Float[np.ndarray, " S"]:
    """The mean shape of the sequence, with `count` parameters. Raises UserError if the bodies have more."""
    sizes = {body.betas.size for body in bodies}
    if len(sizes) > 1 or max(sizes) > count:
        raise UserError(
            f"EasyMocap's bodies have {max(sizes)} shape parameters, but the model of body.model= has {count}: name "
            "the one that EasyMocap fitted."
        )
    shape = np.zeros(count, np.float32)
    shape[: max(sizes)] = np.mean([body.betas for body in bodies], axis=0)
    return shape
