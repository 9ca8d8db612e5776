"""The body_fit stage with the poses of a published data set: SMPL's parameters, which are kept as they are."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from hashhuman.body.model import BodyModel, files_of, settings_of
from hashhuman.body.smpl.names import sex_of
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from preprocess.body_fit import pictures, result
from preprocess.body_fit.fill import filled_in
from preprocess.frames.images import CAMERA, image_paths
from preprocess.frames.video_index import video_index
from preprocess.stage import Stage

LEAST_POSED = 0.9  # of the subject's pictures; the others are filled in


@dataclasses.dataclass(frozen=True)
class GivenPoses:
    """SMPL's parameters in F pictures, in metres and radians.

    SMPL's vertices with `pose`, `transl` and `shapes`, turned by `R` and moved by `T`, lie in the axes of the camera (x
    right, y down, z forward).
    """

    numbers: Int[np.ndarray, "F"]
    """The pictures' numbers in the recording, from 0."""
    pose: Float[np.ndarray, "F 24 3"]
    """Axis-angle; the pelvis first."""
    transl: Float[np.ndarray, "F 3"]
    """SMPL's translation: the pelvis moves from its place at rest by it."""
    shapes: Float[np.ndarray, "F S"]
    """The betas with which each row was fitted."""
    R: Float[np.ndarray, "F 3 3"]
    """From SMPL's axes to those of the camera."""
    T: Float[np.ndarray, "F 3"]
    """Metres, camera axes."""
    betas: Float[np.ndarray, "S"]
    """Those of the avatar, which has one shape."""


class PosedDataset(Protocol):
    """What the stage asks of a data set."""

    def pose_files(self) -> list[Path]:
        """The files that `poses` reads."""
        ...

    def poses(self) -> GivenPoses:
        """The poses. Raises UserError if files are missing or malformed."""
        ...

    def sex(self) -> str | None:
        """The sex of the SMPL that was fitted, as `sex_of` says it; None if that is unknown."""
        ...

    def settings(self) -> dict[str, Any]:
        """What determines the poses besides the files, as JSON."""
        ...


class DatasetFit(Stage):
    """Writes the bodies of a data set, in the axes of its camera.

    Each row is placed so that its pelvis lies where it lay with the row's own shape. The few pictures without a pose
    are filled in between their neighbours, and reported as interpolated.

    Args:
        body: makes the body model, which must be SMPL.
        dataset: has the poses.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "body_fit"

    def __init__(self, body: Callable[[], BodyModel], dataset: PosedDataset, pictures: int = 12, force: bool = False):
        self.body, self.dataset, self.pictures, self.force = body, dataset, pictures, force

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / "00", subject / "annots.npy", *self.dataset.pose_files(), *files_of(self.body)]

    def outputs(self, subject: Path) -> list[Path]:
        folders = [subject / "smpl_params", subject / "smpl_vertices", subject / "pictures" / self.name]
        return [result.report_path(subject), *folders, *result.template_paths(subject)]

    def settings(self) -> dict[str, Any]:
        return {"body": settings_of(self.body), "dataset": self.dataset.settings(), "pictures": self.pictures}

    def missing(self) -> str | None:
        model = settings_of(self.body).get("model")
        if model is None:
            return (
                "the poses of this data set are SMPL's: add body=smpl and body.root=FOLDER with your own files, or fit "
                "the free body with preprocess/body_fit=native preprocess/keypoints=blazepose body=anny."
            )
        wanted, given = self.dataset.sex(), sex_of(str(model))
        if wanted and given and wanted != given:
            return (
                f"the poses of this data set were fitted with the {wanted} SMPL, not {model}: add body=smpl_{wanted}."
            )
        return None

    def run(self, subject: Path, progress: Progress) -> str:
        given, body = self.dataset.poses(), self.body()
        shape = _shape(given.betas, body)
        template, camera = body.template(shape), Subject(subject).camera(CAMERA)
        paths = image_paths(subject)
        rows = {int(number): row for row, number in enumerate(given.numbers)}
        numbers = dict(zip(paths, video_index(subject).pictures.tolist()))
        known = {f: _pose(given, rows[n], body, template) for f, n in numbers.items() if n in rows}
        absent = [frame for frame in paths if frame not in known]
        if len(known) < LEAST_POSED * len(paths):
            files = ", ".join(str(path) for path in self.dataset.pose_files())
            raise UserError(
                f"{files}: {len(absent)} of the {len(paths)} pictures have no pose: choose others with "
                "preprocess.frames.start and stop."
            )
        poses = known | (filled_in(known, absent) if absent else {})
        ordered = [poses[frame] for frame in paths]
        writer = SubjectWriter(subject)
        vertices = result.write_body(writer, template, ordered, list(paths), shape.numpy(), body.pose_vertices)
        writer.update_meta(body=body.name, shape={n: round(float(x), 4) for n, x in zip(body.shape_names, shape)})
        joints = [_joints(pose, template) for pose in ordered]
        report = result.FitReport.of_given(list(paths), [np.nan] * len(paths), joints, template.joint_names)
        report = dataclasses.replace(report, interpolated=np.isin(report.frames, absent))
        report.save(result.report_path(subject))
        pictures.draw_sequence(paths, vertices, template, camera, subject / "pictures" / self.name, self.pictures)
        return ", ".join([f"{len(known)} bodies of the data set", *filter(None, [report.summary()])])


def _shape(betas: Float[np.ndarray, "S"], body: BodyModel) -> torch.Tensor:
    """The body's shape vector. Raises UserError if it has fewer shape parameters than are given."""
    if len(betas) > len(body.shape_names):
        raise UserError(
            f"the data set has {len(betas)} shape parameters, and the SMPL that body.root= and body.model= name only "
            f"{len(body.shape_names)}: name another file of it."
        )
    return torch.from_numpy(np.pad(betas, (0, len(body.shape_names) - len(betas)))).float()


def _pose(given: GivenPoses, row: int, body: BodyModel, template: BodyTemplate) -> BodyPose:
    """A row in this project's convention: world = R(orient) posed + transl, the world being the camera's axes."""
    own = body.template(_shape(given.shapes[row], body)).joints[0].double().numpy()
    pelvis = given.R[row] @ (own + given.transl[row]) + given.T[row]
    turn = Rotation.from_matrix(given.R[row]) * Rotation.from_rotvec(given.pose[row, 0])
    transl = pelvis - turn.apply(template.joints[0].double().numpy())
    body_pose = torch.from_numpy(given.pose[row]).float()
    body_pose[0] = 0
    return BodyPose(body_pose, torch.from_numpy(turn.as_rotvec()).float(), torch.from_numpy(transl).float())


def _joints(pose: BodyPose, template: BodyTemplate) -> np.ndarray:
    """The joints (m, world)."""
    bones = pose.world_from_posed() @ template.bone_transforms(pose.body_pose)
    return skinning.transform(bones, template.joints).numpy()
