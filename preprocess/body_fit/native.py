"""The body_fit stage's own fit: one body, posed in every picture, fitted to the evidence of the whole clip at once.

It follows SMPLify (Bogo et al., ECCV 2016) and its successors for video, with a body model that is free to use, terms
for outlines, flow and texture, and no learned prior.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.progress import Progress

from hashhuman.body.model import BodyModel, files_of, settings_of
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.gpu.device import device_named
from hashhuman.io import threads
from hashhuman.io.assets import Asset
from hashhuman.io.files import read_image
from preprocess.body_fit import pictures, result
from preprocess.body_fit.evidence.evidence import Evidence, to_device
from preprocess.body_fit.evidence.observe import Observations, observe
from preprocess.body_fit.evidence.turns import HandTurns
from preprocess.body_fit.geometry import project
from preprocess.body_fit.init.from_points import init_from_points
from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.optimise.minimise import minimise
from preprocess.body_fit.optimise.snapshots import Keeper
from preprocess.body_fit.optimise.terms import Terms
from preprocess.body_fit.sequence import BodySequence, Posed, spread_vertices
from preprocess.frames.images import CAMERA, image_paths
from preprocess.keypoints.points import Keypoints, points_path, segmentation_folder
from preprocess.stage import Stage, unfinished

Initialise = Callable[[BodySequence, Evidence], None]
"""Sets the parameters of a sequence to the first estimate that the fit starts from."""

VISIBLE = 0.5  # least visibility of a point that the reprojection error counts
LEAST_TRUST = 0.05  # weight of points that were not seen, so that a lost frame starts between its neighbours


class NativeFit(Stage):
    """Fits a body model to `keypoints/` and writes `smpl_params/`, `smpl_vertices/`, `smpl_lbs/` and `body_fit.npz`.

    Args:
        body: makes the body model; called only when the stage runs, so that a finished subject needs no body model.
        stages: of the minimisation, in order (`optimise.minimise`).
        turns: measures how the hands are turned; None: nothing does, and the term `turns` has nothing to weigh.
        surface: how many vertices represent the skin.
        pictures: how many pictures to draw.
        device: where to minimise; `auto` is the GPU if there is one.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "body_fit"
    version: ClassVar[int] = 2

    def __init__(
        self,
        body: Callable[[], BodyModel],
        stages: Sequence[Mapping[str, Any]],
        turns: HandTurns | None = None,
        surface: int = 1400,
        pictures: int = 12,
        device: str = "auto",
        force: bool = False,
    ):
        self.turns = turns
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
        turns = type(self.turns).__name__ if self.turns else None
        return {
            "body": body, "stages": self.stages, "turns": turns, "surface": self.surface, "pictures": self.pictures,
        }  # fmt: skip

    def assets(self) -> list[Asset]:
        return self.turns.assets() if self.turns else []

    def run(self, subject: Path, progress: Progress) -> str:
        steps = progress.add_task("fitting", total=sum(stage["steps"] for stage in self.stages))
        camera = Subject(subject).camera(CAMERA)
        keypoints = Keypoints.load(points_path(subject))
        observations = observe(keypoints, camera.K.numpy())
        masks = [_read_mask(segmentation_folder(subject) / f"{frame:06d}.png") for frame in keypoints.frames]
        initialise, interpolated = self.initialisation(subject, observations, camera)
        images = image_paths(subject)
        paths = [images[frame] for frame in keypoints.frames]
        weighted = {name for stage in self.stages for name in stage["weights"]}
        with threads.Background() as background:
            making = background(self.body)  # reads and shapes a mesh on one core
            turns = self.turns(paths, observations, camera.K.numpy()) if self.turns else None
            evidence = Evidence.of(observations, camera.K, paths, masks, weighted, turns)
            body = making.result()
        sequence, posed = fit(
            body, evidence, self.stages, self.surface, lambda: progress.advance(steps), initialise, self.device,
            unfinished(self, subject),
        )  # fmt: skip

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

    def initialisation(
        self, subject: Path, observations: Observations, camera: Camera
    ) -> tuple[Initialise, Bool[np.ndarray, "F"]]:
        """The function that sets the first estimate, and in which pictures that estimate is interpolated."""
        return init_from_evidence, observations.interpolated


def init_from_evidence(sequence: BodySequence, evidence: Evidence) -> None:
    """The first estimate from the points of the evidence."""
    trust = evidence.image_weight.clamp_min(LEAST_TRUST)
    init_from_points(sequence, evidence.world, evidence.image, trust, evidence.K, evidence.turns)


def fit(
    body: BodyModel, evidence: Evidence, stages: Sequence[Mapping[str, Any]], surface: int, tick: Callable[[], None],
    initialise: Initialise = init_from_evidence, device: torch.device | str = "cpu", keeper: Keeper | None = None,
) -> tuple[BodySequence, Posed]:  # fmt: skip
    """Fits the body to the evidence of a whole sequence.

    Args:
        body: the body model.
        evidence: what the F pictures show.
        stages: of the minimisation (`optimise.minimise`).
        surface: how many vertices represent the skin.
        tick: called after each step.
        initialise: sets the first estimate.
        device: where to minimise.
        keeper: keeps snapshots (`optimise.minimise`).

    Returns:
        The parameters, and the body posed with them (m, camera axes); both on the CPU.

    Raises UserError if the fit needs more memory than the device has.
    """
    rest = body.template(body.shape_mean).vertices
    sequence = BodySequence(body, LANDMARKS, OFFSETS, spread_vertices(rest, surface), len(evidence.image))
    initialise(sequence, evidence)
    try:
        with threads.alone():  # the loops of a fit use all cores, and its other operations are small
            posed = minimise(_terms(sequence.to(device), evidence), stages, tick, keeper)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"fitting {len(evidence.image)} pictures needs more GPU memory than is free: end other programs that use "
            "it, or fit on the CPU with preprocess.body_fit.device=cpu."
        ) from error
    sequence, posed = sequence.cpu(), to_device(posed, "cpu")
    if torch.cuda.is_available():  # training may follow in this process, and reports the memory that it uses
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return sequence, posed


def _terms(sequence: BodySequence, evidence: Evidence) -> Terms:
    """The terms of a sequence, as they are computed on its device."""
    if sequence.pose.is_cuda:
        return Terms(sequence, evidence)
    from preprocess.body_fit.optimise.loop_terms import LoopTerms  # imports Numba, which takes half a second

    return LoopTerms(sequence, evidence)


def _reprojection_error(posed: Posed, observations: Observations, camera: Camera) -> Float[np.ndarray, "F"]:
    """Median distance (pixels) of the landmarks from the visible points; NaN where no point is visible."""
    pixels = project(posed.landmarks, camera.K).numpy()
    error = np.linalg.norm(pixels - observations.image, axis=-1)
    error[observations.visibility < VISIBLE] = np.nan
    known = np.isfinite(error).any(1)
    median = np.full(len(error), np.nan, np.float32)
    median[known] = np.nanmedian(error[known], axis=1)
    return median


def _read_mask(path: Path) -> np.ndarray | None:
    return read_image(path) if path.exists() else None
