"""PeopleSnapshot (Alldieck et al., CVPR 2018), as its authors give it out.

Facts from github.com/thmoa/videoavatars (prepare_data/, step1_pose.py, step2_consensus.py), and from what
tijiang13/InstantAvatar (scripts/peoplesnapshot/) and zju3dv/neuralbody (tools/process_snapshot.py) read:

    NAME/NAME.mp4                  the video; NAME is like female-3-casual
    NAME/camera.pkl                camera_f 2, camera_c 2 (pixels), camera_k 5 (OpenCV's distortion), camera_rt 3
                                   (axis-angle), camera_t 3, width, height; a pickle of Python 2
    NAME/masks.hdf5                masks: F x H x W, 0 and 1, of the pictures as filmed
    NAME/reconstructed_poses.hdf5  pose F x 72, trans F x 3, betas 10: SMPL of the person's sex, in OpenCV's axes

`keypoints.hdf5`, `consensus.pkl` (offsets of the clothes) and the textures are not used. The pictures are distorted.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_pickle
from hashhuman.io.listing import listed
from hashhuman.io.masks import from_array
from preprocess.body_fit.dataset import GivenPoses
from preprocess.dataset.hdf5 import Hdf5, require_h5py
from preprocess.dataset.layout import Dataset, Splits, held_out, pictures_in, published, sex_in_name
from preprocess.frames.lens import Lens
from preprocess.masks.given import GivenMask
from preprocess.validate import numeric_array

log = logging.getLogger(__name__)

MASKS, POSES, CAMERA = "masks.hdf5", "reconstructed_poses.hdf5", "camera.pkl"


class PeopleSnapshot(Dataset):
    """A recording of PeopleSnapshot.

    Args:
        folder: the recording's, such as people_snapshot_public/female-3-casual.
        splits: see `layout.published`.
        first_pose: the row of the first picture's pose, where there are more poses than masks.
    """

    def __init__(self, folder: str, splits: Mapping[str, Mapping[str, Sequence[int]]], first_pose: int = 0) -> None:
        super().__init__(folder)
        self.first_pose, self._splits = first_pose, splits

    @staticmethod
    def require() -> None:
        """Raises UserError if the package that reads HDF5 is missing."""
        require_h5py()

    def pictures(self) -> Path:
        videos = listed(self.folder, (".mp4",))
        named = [path for path in videos if path.stem == self.folder.name] or videos
        if len(named) != 1:
            raise UserError(
                f"{self.folder} must hold the recording's video, {self.folder.name}.mp4: video= must name a folder of "
                "PeopleSnapshot."
            )
        return named[0]

    def sex(self) -> str | None:
        return sex_in_name(self.folder)

    def lens_files(self) -> list[Path]:
        return [self.file(CAMERA)]

    def lens(self) -> Lens:
        camera, path = self._camera
        K = np.diag([*numeric_array(camera["camera_f"], path, "camera_f", 2), 1.0])
        K[:2, 2] = numeric_array(camera["camera_c"], path, "camera_c", 2)
        if not (K[[0, 1], [0, 1]] > 0).all():
            raise UserError(f"{path}: camera_f must hold positive focal lengths.")
        return Lens(K, numeric_array(camera["camera_k"], path, "camera_k", 5))

    @functools.cached_property
    def _camera(self) -> tuple[dict[str, Any], Path]:
        path = self.file(CAMERA)
        camera = load_pickle(path)
        needed = ("camera_f", "camera_c", "camera_k", "camera_rt", "camera_t")
        if not isinstance(camera, dict) or not set(needed) <= camera.keys():
            raise UserError(f"{path} must hold {', '.join(needed)}: is it PeopleSnapshot's?")
        return camera, path

    def mask_files(self) -> list[Path]:
        return [self.file(MASKS)]

    def mask(self, number: int) -> GivenMask | None:
        path = self.file(MASKS)
        masks = Hdf5(path)
        return GivenMask(from_array(masks.row("masks", number), path), path) if number < masks.count("masks") else None

    def pose_files(self) -> list[Path]:
        return [self.file(POSES), self.file(CAMERA), self.file(MASKS)]

    def poses(self) -> GivenPoses:
        path, (camera, camera_path) = self.file(POSES), self._camera
        file = Hdf5(path)
        pose = numeric_array(file.array("pose"), path, "pose", None, 72)
        trans = numeric_array(file.array("trans"), path, "trans", len(pose), 3)
        betas = numeric_array(file.array("betas"), path, "betas", None)
        count = Hdf5(self.file(MASKS)).count("masks")
        if len(pose) > count and not self.first_pose:
            log.warning(
                "%s has %d poses for %d masks: the first one is taken for the first picture; "
                "preprocess.dataset.first_pose=%d leaves it out",
                path, len(pose), count, len(pose) - count,
            )  # fmt: skip
        fitted = np.flatnonzero(trans.any(1))  # rows that were never written are zeros
        fitted = fitted[fitted >= self.first_pose]
        R = cv2.Rodrigues(numeric_array(camera["camera_rt"], camera_path, "camera_rt", 3))[0]
        T = numeric_array(camera["camera_t"], camera_path, "camera_t", 3)
        return GivenPoses(
            numbers=fitted - self.first_pose,
            pose=pose[fitted].reshape(-1, 24, 3),
            transl=trans[fitted],
            shapes=np.tile(betas, (len(fitted), 1)),
            R=np.tile(R, (len(fitted), 1, 1)),
            T=np.tile(T, (len(fitted), 1)),
            betas=betas,
        )

    def splits(self) -> Splits:
        return published(self._splits, self.folder) or held_out(pictures_in(self.pictures()))
