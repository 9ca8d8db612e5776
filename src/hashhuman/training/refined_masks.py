"""Writes the masks that a run has learned as a subject folder's `mask_refined/`."""

import shutil
from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float

from hashhuman.checks import targets
from hashhuman.data.subject import Subject
from hashhuman.data.subject.layout import REFINED_MASKS as FOLDER
from hashhuman.errors import UserError
from hashhuman.gpu.device import device_named
from hashhuman.io import files
from hashhuman.io.progress import track
from hashhuman.training import run

SPLITS = ("train", "heldout")  # whose poses were refined


def write_refined_masks(
    run_folder: Path, folder: Path, replace: bool = False, device: str = "auto", admit: Collection[str] = ()
) -> str:
    """Writes the avatar's opacity in the training cameras' pictures, and returns a description.

    Each mask has the size and the lens's distortion of its picture. Pictures outside the training window get none,
    since their poses were not refined. All masks get their names at once, when the last one is written.

    Args:
        run_folder: a finished run.
        folder: gets `mask_refined/CC/FFFFFF.png`: the coverage as 8 bits.
        replace: if that exists, put the new one in its place.
        device: auto, cpu, cuda or cuda:1.
        admit: classes of others that the run may name.

    Raises:
        UserError: if the run cannot be loaded, or the folder exists and may not be replaced.
    """
    module, data, _ = run.load(run_folder, admitted=targets.admitted(admit))
    target = folder / FOLDER
    if target.exists() and not replace:
        raise UserError(f"{target} exists: name another folder with --to, or add --replace.")
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{target} is no folder of its own, but a link or a file, and is not replaced: remove it.")
    avatar, subject = module.avatar.to(device_named(device, "--device")), data.subject
    pictures = [picture for split in SPLITS for picture in data.splits[split]]
    half = folder / f"{FOLDER}.part"
    shutil.rmtree(half, ignore_errors=True)
    for picture in track(pictures, "masks", len(pictures), "pictures"):
        pose = avatar.refined_pose(subject.pose(picture.frame), picture.frame)
        frame = data.train_frames.index(picture.frame) if picture.frame in data.train_frames else None
        rendered = avatar.render_image(subject.camera(picture.camera), pose, frame)
        alpha = distorted(rendered.alpha.clamp(0, 1).cpu().numpy(), subject, picture.camera)
        path = half / subject.camera_names[picture.camera] / f"{picture.image.stem}.png"
        files.write_image(path, np.rint(255 * alpha).astype(np.uint8))
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)
    return f"wrote {len(pictures)} masks to {target}; data.masks={FOLDER} trains with them"


def distorted(image: Float[np.ndarray, "H W"], subject: Subject, camera: int) -> Float[np.ndarray, "H W"]:
    """An undistorted picture as the camera's lens shows it: the inverse of what the reader of the folder does."""
    distortion = subject.distortion(camera)
    if not distortion.any():
        return image
    K = subject.camera(camera).K.double().numpy()
    rows, columns = np.indices(image.shape, dtype=np.float32)
    pixels = np.stack([columns, rows], -1).reshape(-1, 1, 2)
    places = cv2.undistortPoints(pixels, K, distortion, P=K).reshape(*image.shape, 2).astype(np.float32)
    return cv2.remap(image, places[..., 0], places[..., 1], cv2.INTER_LINEAR)
