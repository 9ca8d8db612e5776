"""Multi-HMR on Anny (Baradel et al., ECCV 2024; checkpoints multiHMR_*_anny of 2026): a folder with a file a picture.

Facts from github.com/naver/multi-hmr at 651fb41 (multi_hmr_anny/multi_hmr.py, demo.py, utils/camera.py) and from the
package anny 0.6.2. Its demo writes pictures only: `torch.save(humans, f"{save_fn}.pt")` in its loop keeps what it
found, the list of everybody in the picture. Of a person's dictionary, this reader takes {rotvec 163 x 3, shape 11,
transl_pelvis 3, K 3 x 3, j2d 163 x 2}. `rotvec` are Anny's old poses (anny_rig.py): axis-angle in each bone's own axes,
the root's in the camera's (x right, y down, z forward). `shape` begins with Anny's six phenotypes, in [0, 1].
`transl_pelvis` is the head of the root bone in metres (`transl` is that of the bone called head). K and j2d are in
pixels of the square to which it pads and shrinks the picture, whose middle is the principal point.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_object_npz
from preprocess.body_fit.source.anny_rig import BONES, SHAPE, smpl_motion
from preprocess.body_fit.source.camera import centred
from preprocess.body_fit.source.checks import axis_angles
from preprocess.body_fit.source.follow import detection_of, follow, people_in, picture_files, picture_numbers_of
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.body_fit.source.tensors import load_torch
from preprocess.validate import numeric_array

KEYS = ("rotvec", "shape", "transl_pelvis", "K", "j2d")
NOBODY = ({}, [])  # what the model returns then


class MultiHmrAnny(Source):
    """Reads the folder, of .pt files or of .npz files of one person's dictionary. People are followed."""

    def files(self, path: Path) -> list[Path]:
        return picture_files(path, {".pt", ".npz"}, "Multi-HMR")

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        files = self.files(path)
        pictures: dict[int, list[dict[str, Any]]] = {}
        for number, file in zip(picture_numbers_of([file.stem for file in files], path), files):
            content = load_torch(file) if file.suffix == ".pt" else load_object_npz(file)
            people = [] if isinstance(content, tuple) and content == NOBODY else people_in(content, KEYS, file)
            pictures.setdefault(number, []).extend(_person(person, file, width, height) for person in people)
        tracks = follow(pictures.items(), lambda person: person["detection"])
        if not tracks:
            raise UserError(f"{path} holds no people: Multi-HMR found no person in the video.")
        return [_motion(str(i), *track, path, width, height) for i, track in enumerate(tracks)]


def _person(person: dict[str, Any], path: Path, width: int, height: int) -> dict[str, Any]:
    """The entries that are read, with focal length and 2D points in pixels of the subject."""
    K = numeric_array(person["K"], path, "K", 3, 3)
    shape = numeric_array(person["shape"], path, "shape", None)
    if K[0, 0] <= 0 or K[0, 2] <= 0 or len(shape) < len(SHAPE) or ((shape < 0) | (shape > 1)).any():
        raise UserError(
            f"{path}: K must hold a positive focal length and centre, and shape at least {len(SHAPE)} numbers in "
            "[0, 1]: create the file again."
        )
    side = max(width, height)
    scale = side / (2 * K[0, 2])
    padding = np.array([width - side, height - side]) / 2
    pixels = numeric_array(person["j2d"], path, "j2d", BONES, 2) * scale + padding - 0.5
    vectors = numeric_array(person["rotvec"], path, "rotvec", BONES, 3)
    return {
        "rotations": axis_angles(vectors.reshape(1, -1), path, "rotvec", 1)[0],
        "shape": shape[: len(SHAPE)],
        "root": numeric_array(person["transl_pelvis"], path, "transl_pelvis", 3),
        "focal": K[0, 0] * scale,
        "detection": detection_of(pixels, path, "j2d"),
    }


def _motion(name: str, numbers: list[int], people: list[dict[str, Any]], path: Path, width: int, height: int) -> Motion:
    def column(key: str) -> np.ndarray:
        return np.stack([person[key] for person in people])

    shape = column("shape").mean(0)
    rotations, joints = smpl_motion(column("rotations"), shape, column("root"))
    motion = Motion(
        at=np.array(numbers, float),
        rotations=rotations,
        transl=joints[:, 0],
        betas=shape,
        K=centred(float(np.median(column("focal"))), width, height),
        joints=joints,
        body="anny",
        seen=np.stack([person["detection"].center for person in people]),
        track=name,
    )
    return ordered(motion, path)
