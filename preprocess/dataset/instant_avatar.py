"""The layout of InstantAvatar (Jiang et al., CVPR 2023), in which its scripts write PeopleSnapshot and own recordings.

Facts from github.com/tijiang13/InstantAvatar (scripts/, instant_avatar/datasets/, confs/dataset/):

    cameras.npz           intrinsic 3 x 3, extrinsic 4 x 4 (camera from world, OpenCV's axes), height, width
    images/*.png          undistorted, in order
    masks/*.npy, *.png    in the same order; 0 and 1, or 0 to 255
    poses.npz             betas 10, thetas F x 72 (or global_orient F x 3 and body_pose F x 69), transl F x 3: SMPL, a
                          row for each picture
    poses_optimized.npz   the same, after scripts/custom/refine-smpl.py
    poses/                anim_nerf_train.npz, anim_nerf_test.npz or train.npz, test.npz: the same for the pictures of a
                          split alone, each with a shape of its own
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npz
from hashhuman.io.listing import listed
from hashhuman.io.masks import SUFFIXES, read_ids_or_coverage
from preprocess.body_fit.dataset import GivenPoses
from preprocess.dataset.layout import Dataset, Splits, held_out, published, sex_in_name
from preprocess.frames.lens import Lens
from preprocess.frames.numbering import numbers_in
from preprocess.masks.given import GivenMask
from preprocess.validate import numeric_array

WHOLE = ("poses_optimized.npz", "poses.npz")  # of all pictures, the better one first
OF_SPLITS = ("poses/anim_nerf_{}.npz", "poses/{}.npz")


class InstantAvatar(Dataset):
    """A recording in InstantAvatar's layout.

    Args:
        folder: the recording's.
        splits: see `layout.published`.
        poses: the file with the poses of all pictures; None takes those of each split, if splits are published and
            there are such files, or else the better one of `WHOLE`.
    """

    def __init__(
        self, folder: str, splits: Mapping[str, Mapping[str, Sequence[int]]], poses: str | None = None
    ) -> None:
        super().__init__(folder)
        self.poses_file, self._splits = poses, splits

    def pictures(self) -> Path:
        return self.picture_files()[0].parent

    def sex(self) -> str | None:
        return sex_in_name(self.folder)

    def lens_files(self) -> list[Path]:
        return [self.file("cameras.npz")]

    def lens(self) -> Lens:
        K = self._camera("intrinsic", 3)
        if not (K[[0, 1], [0, 1]] > 0).all():
            raise UserError(f"{self.file('cameras.npz')}: intrinsic must hold positive focal lengths.")
        return Lens(K, np.zeros(5))

    def _camera(self, name: str, size: int) -> np.ndarray:
        path = self.file("cameras.npz")
        return numeric_array(_entry(load_npz(path), name, path), path, name, size, size)

    def mask_files(self) -> list[Path]:
        found = listed(self.folder / "masks", SUFFIXES)
        if not found:
            raise UserError(f"{self.folder / 'masks'} holds no masks: they are part of this data set.")
        arrays = [path for path in found if path.suffix == ".npy"]
        return arrays or found

    def mask(self, number: int) -> GivenMask | None:
        pictures, masks = self.picture_files(), self.mask_files()
        path = masks[number] if len(masks) == len(pictures) else _same_number(pictures, masks, number)
        return None if path is None else GivenMask(read_ids_or_coverage(path), path)

    def pose_files(self) -> list[Path]:
        return [self.file("cameras.npz"), *(path for path, _ in self._rows())]

    def _rows(self) -> list[tuple[Path, list[int]]]:
        """The files of poses, and the pictures that their rows belong to."""
        every = list(range(len(self.picture_files())))
        if self.poses_file is not None:
            return [(self.file(self.poses_file), every)]
        if (splits := published(self._splits, self.folder)) is not None:
            within = {name: [n for n in splits[split] if n < len(every)] for name, split in _SPLITS.items()}
            for pattern in OF_SPLITS:
                paths = {name: self.folder / pattern.format(name) for name in within}
                if all(path.is_file() for path in paths.values()):
                    return [(paths[name], within[name]) for name in within]
        there = [self.folder / name for name in WHOLE if (self.folder / name).is_file()]
        return [(there[0] if there else self.file(WHOLE[-1]), every)]

    def poses(self) -> GivenPoses:
        extrinsic = self._camera("extrinsic", 4)
        parts = [_read(path, numbers) for path, numbers in self._rows()]
        numbers, pose, transl, shapes = (np.concatenate(column) for column in zip(*parts))
        return GivenPoses(
            numbers=numbers,
            pose=pose,
            transl=transl,
            shapes=shapes,
            R=np.tile(extrinsic[:3, :3], (len(numbers), 1, 1)),
            T=np.tile(extrinsic[:3, 3], (len(numbers), 1)),
            betas=shapes[0],
        )

    def splits(self) -> Splits:
        return published(self._splits, self.folder) or held_out(len(self.picture_files()))


_SPLITS = {"train": "train", "test": "novel_pose"}


def _entry(content: Mapping[str, Any], name: str, path: Path) -> Any:
    if name not in content:
        raise UserError(f"{path} has no {name!r}: is it InstantAvatar's?")
    return content[name]


def _read(path: Path, numbers: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, poses (F, 24, 3), translations and shapes of a file. Raises UserError if it has more rows, or fewer."""
    content = load_npz(path)
    if "thetas" in content:
        pose = numeric_array(content["thetas"], path, "thetas", None, 72)
    else:
        root = numeric_array(_entry(content, "global_orient", path), path, "global_orient", None, 3)
        pose = numeric_array(_entry(content, "body_pose", path), path, "body_pose", len(root), 69)
        pose = np.concatenate([root, pose], 1)
    if len(pose) != len(numbers):
        raise UserError(f"{path} holds {len(pose)} poses for {len(numbers)} pictures: it is of other pictures.")
    transl = numeric_array(_entry(content, "transl", path), path, "transl", len(pose), 3)
    betas = numeric_array(_entry(content, "betas", path), path, "betas", None)
    return np.array(numbers), pose.reshape(-1, 24, 3), transl, np.tile(betas, (len(pose), 1))


def _same_number(pictures: Sequence[Path], masks: Sequence[Path], number: int) -> Path | None:
    """The mask with the number of a picture in its name; None if there is none."""
    ours, theirs = (numbers_in([path.stem for path in paths]) for paths in (pictures, masks))
    if ours is None or theirs is None:
        raise UserError(
            f"{masks[0].parent} holds {len(masks)} masks for {len(pictures)} pictures, and names do not tell."
        )
    return dict(zip(theirs, masks)).get(ours[number])
