"""Stage 3: one body, posed in every picture, fitted to points and silhouettes of the whole sequence at once.

After SMPLify (Bogo et al., ECCV 2016) and its video successors, with a free body, an outline term and no learned prior.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from rich.progress import Progress

from hashhuman.body.model import BodyModel, files_of, settings_of
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.device import device_named
from hashhuman.io import threads
from hashhuman.io.files import read_image
from preprocess.body_fit import pictures, result
from preprocess.body_fit.evidence.evidence import Evidence, moved
from preprocess.body_fit.evidence.observe import Observations, observe
from preprocess.body_fit.init.from_points import initialise
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.optimise.minimise import minimise
from preprocess.body_fit.optimise.sequence import BodySequence, Posed, spread_vertices
from preprocess.body_fit.optimise.terms import Terms, project
from preprocess.frames.images import CAMERA, image_paths
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.stage import Stage

Start = Callable[[BodySequence, Evidence], None]


class NativeFit(Stage):
    """Fits a body model to `keypoints/` and writes `smpl_params/`, `smpl_vertices/`, `smpl_lbs/` and `body_fit.npz`.

    Args:
        body: makes the body model (called when the stage runs, so that a finished one needs none).
        stages: what to minimise, in order (`optimise.minimise`).
        surface: how many vertices stand for the skin.
        pictures: how many pictures to draw.
        device: where to minimise; auto: on the GPU if there is one.
    """

    name: ClassVar[str] = "body_fit"

    def __init__(
        self,
        body: Callable[[], BodyModel],
        stages: Sequence[Mapping[str, Any]],
        surface: int = 1400,
        pictures: int = 12,
        device: str = "auto",
        force: bool = False,
    ):
        self.body, self.stages, self.surface, self.pictures = body, stages, surface, pictures
        self.device = device_named(device, "preprocess.body_fit.device")
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        keypoints = [points_path(subject), segmentation_folder(subject)]
        return [subject / "images" / "00", *keypoints, subject / "annots.npy", *files_of(self.body)]

    def outputs(self, subject: Path) -> list[Path]:
        folders = [subject / "smpl_params", subject / "smpl_vertices", subject / "pictures" / self.name]
        return [result.report_path(subject), *folders, *result.template_paths(subject)]

    def settings(self) -> dict[str, Any]:
        body = settings_of(self.body)
        return {"body": body, "stages": self.stages, "surface": self.surface, "pictures": self.pictures}

    def run(self, subject: Path, progress: Progress) -> str:
        camera = Subject(subject).camera(CAMERA)
        keypoints = Keypoints.load(points_path(subject))
        body = self.body()
        observations = observe(keypoints, camera.K.numpy())
        masks = [_read_mask(segmentation_folder(subject) / f"{frame:06d}.png") for frame in keypoints.frames]
        steps = progress.add_task("fitting", total=sum(stage["steps"] for stage in self.stages))
        start, interpolated = self.start(subject, observations, camera)
        images = image_paths(subject)
        weighted = {name for stage in self.stages for name in stage["weights"]}
        evidence = Evidence.of(observations, camera.K, [images[frame] for frame in keypoints.frames], masks, weighted)
        sequence, posed = fit(
            body, evidence, self.stages, self.surface, lambda: progress.advance(steps), start, self.device
        )

        shape = sequence.shape_vector().detach()
        template = body.template(shape)
        poses = result.world_poses(sequence, posed, template, camera)
        writer, frames = SubjectWriter(subject), keypoints.frames.tolist()
        vertices = result.write_body(writer, template, poses, frames, shape.numpy(), body.pose_vertices)
        writer.update_meta(body=body.name, shape={n: round(float(x), 4) for n, x in zip(body.shape_names, shape)})
        faces = template.faces.numpy()
        overlaps = threads.ordered(
            lambda seen: result.silhouette_iou(seen[0], faces, camera, seen[1]), zip(vertices, masks)
        )
        joints = (posed.joints - camera.T) @ camera.R
        report = result.FitReport(
            frames=keypoints.frames,
            reprojection_error=_reprojection_error(posed, observations, camera),
            silhouette_iou=np.array(list(overlaps), np.float32),
            interpolated=interpolated,
            flipped=observations.flipped,
            joints=joints.numpy().astype(np.float32),
            joint_names=tuple(body.joint_names),
        )
        report.save(result.report_path(subject))
        folder = subject / "pictures" / self.name
        pictures.draw_sequence(images, vertices, template, camera, folder, self.pictures)
        return report.summary()

    def start(self, subject: Path, observations: Observations, camera: Camera) -> tuple[Start, np.ndarray]:
        """What gives the sequence its first pose, and which pictures (F,) that has to fill in."""
        return start_from_points, observations.interpolated


def start_from_points(sequence: BodySequence, evidence: Evidence) -> None:
    """The first pose that the points suggest."""
    # also where nothing was seen, so that a lost frame starts between its neighbours
    trust = evidence.image_weight.clamp_min(0.05)
    initialise(sequence, evidence.world, evidence.image, trust, evidence.K)


def fit(
    body: BodyModel, evidence: Evidence, stages: Sequence[Mapping[str, Any]], surface: int, tick: Callable[[], None],
    start: Start = start_from_points, device: torch.device | str = "cpu",
) -> tuple[BodySequence, Posed]:  # fmt: skip
    """The body of a whole sequence in the camera's space, from what was seen of it; on the CPU again.

    Raises UserError if it does not fit into the device's memory.
    """
    rest = body.template(body.shape_mean).vertices
    sequence = BodySequence(body, LANDMARKS, OFFSETS, spread_vertices(rest, surface), len(evidence.image))
    start(sequence, evidence)
    try:
        posed = minimise(Terms(sequence.to(device), evidence), stages, tick)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The fit of {len(evidence.image)} pictures does not fit into the GPU's memory: free some, or let "
            "preprocess.body_fit.device=cpu do it."
        ) from error
    sequence, posed = sequence.cpu(), moved(posed, "cpu")
    if torch.cuda.is_available():  # for training, which may follow in this process, and counts its memory
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return sequence, posed


def _reprojection_error(posed: Posed, observations: Observations, camera: Camera) -> np.ndarray:
    pixels = project(posed.landmarks, camera.K).numpy()
    error = np.linalg.norm(pixels - observations.image, axis=-1)
    error[observations.visibility < 0.5] = np.nan
    some = np.isfinite(error).any(1)
    median = np.full(len(error), np.nan, np.float32)
    median[some] = np.nanmedian(error[some], axis=1)
    return median


def _read_mask(path: Path) -> np.ndarray | None:
    return read_image(path) if path.exists() else None
