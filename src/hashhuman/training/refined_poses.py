"""Writes the refined poses of a run as a subject folder's `smpl_params/` and `smpl_vertices/`."""

import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np

from hashhuman.body.visibility import world_vertices
from hashhuman.checks import targets
from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import files
from hashhuman.pose.table import RefinedPoses
from hashhuman.training import run

FOLDERS = ("smpl_params", "smpl_vertices")
KEPT = "_fitted"  # suffix of the folders to which --replace moves what was there


def write_refined_poses(run_folder: Path, folder: Path, replace: bool = False, admit: Collection[str] = ()) -> str:
    """Writes the poses of all frames, and returns a description.

    Frames that were held out have interpolated corrections, and frames outside the training window the fitted pose.
    Shapes and other entries of the files stay as they are. Vertices are skinned from the template.

    Args:
        run_folder: a run that was trained with `pose=refined`.
        folder: gets `smpl_params/` and `smpl_vertices/`.
        replace: if these exist, move them to `smpl_params_fitted/` and `smpl_vertices_fitted/`.
        admit: classes of others that the run may name.

    Raises:
        UserError: if the run refined no poses, or either folder exists and may not be replaced.
    """
    module, data, _ = run.load(run_folder, admitted=targets.admitted(admit))
    if not isinstance(getattr(module.avatar, "poses", None), RefinedPoses):
        raise UserError(f"{run_folder} has no refined poses: train a run with pose=refined.")
    taken = [folder / name for name in FOLDERS if (folder / name).exists()]
    if taken and not replace:
        raise UserError(
            f"{taken[0]} exists: name another folder with --to, or add --replace to keep it as {taken[0].name}{KEPT}."
        )
    for path in taken:
        if (kept := path.with_name(path.name + KEPT)).exists():
            raise UserError(f"{kept} exists already, and holds an earlier fit: rename it first.")
    half = folder / "refined_poses.part"  # both folders are complete before they get their names
    shutil.rmtree(half, ignore_errors=True)
    writer, subject, template = SubjectWriter(half), data.subject, data.subject.template()
    for frame in subject.posed_frames:
        pose = module.avatar.refined_pose(subject.pose(frame), frame)
        params = files.load_npy(subject.path(f"smpl_params/{frame}.npy"))
        params |= {
            "poses": pose.body_pose.numpy().reshape(1, -1),
            "Rh": pose.orient.numpy().reshape(1, 3),
            "Th": pose.transl.numpy().reshape(1, 3),
        }
        files.save_npy(half / f"smpl_params/{frame}.npy", params)
        writer.write_vertices(frame, np.asarray(world_vertices(template, pose)))
    for path in taken:
        path.rename(path.with_name(path.name + KEPT))
    for name in FOLDERS:
        (half / name).rename(folder / name)
    half.rmdir()
    return f"wrote the poses of {len(subject.posed_frames)} frames to {folder / FOLDERS[0]}"
