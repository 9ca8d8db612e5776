"""NeuMan (Jiang et al., ECCV 2022): one person, filmed with a moving camera.

Facts from github.com/apple/ml-neuman (data_io/neuman_helper.py, data_io/colmap_helper.py, preprocess/) and, for what
HUGS (Kocabas et al., CVPR 2024) adds, github.com/apple/ml-hugs (hugs/datasets/neuman.py, hugs/models/):

    images/NAME                       undistorted pictures; NAME is the number with leading zeros
    sparse/cameras.txt, images.txt    COLMAP's cameras, in units of the scene
    segmentations/NAME                masks: the person is black, everything else white
    smpl_output_optimized.pkl         joblib: {1: {pose F x 72, betas F x 10}}, the neutral SMPL without translation, a
                                      row for each number; smpl_output_romp.pkl, before the optimisation
    alignments.npy                    {NAME: 4 x 3}, whose transpose (s R | t) carries SMPL's vertices into the scene
    train_split.txt, val_split.txt, test_split.txt    names of pictures
    4d_humans/smpl_optimized_aligned_scale.npz    HUGS: global_orient, body_pose, betas, transl, scale; SMPL's vertices
                                      times scale, plus transl, lie in the scene
    4d_humans/sam_segmentations/      HUGS: masks, in which the person is white

Depths, keypoints and DensePose are not used. Subjects of this project have a camera that stands still; so each body is
written in the axes of its picture's camera, in metres: divided by the scale.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_npy, load_npz, read_image
from hashhuman.io.listing import listed
from hashhuman.io.masks import SUFFIXES, from_array, read_ids_or_coverage
from preprocess.body_fit.dataset import GivenPoses
from preprocess.body_fit.source.joblib_file import load_joblib
from preprocess.calibration.colmap import Shot, read_colmap
from preprocess.dataset.layout import Dataset, Splits, held_out
from preprocess.frames.lens import Lens
from preprocess.masks.given import GivenMask
from preprocess.validate import numeric_array

HUGS = "4d_humans/smpl_optimized_aligned_scale.npz"
INVERTED = "segmentations"  # these masks are for COLMAP, which looks for points where they are white
VALIDATED = 5  # NeuMan's rule holds out every fifth picture


class NeuMan(Dataset):
    """A scene of NeuMan.

    Args:
        folder: the scene's, such as dataset/bike.
        fit: `optimized` or `romp` of NeuMan, or `4d_humans` of HUGS.
        masks: the folder with the masks.
        held_out: which of NeuMan's `test` and `val` pictures are held out and scored. Neither is trained on.
    """

    def __init__(
        self, folder: str, fit: Literal["optimized", "romp", "4d_humans"], masks: str, held_out: Sequence[str]
    ) -> None:
        super().__init__(folder)
        if fit not in ("optimized", "romp", "4d_humans"):
            raise UserError(f"preprocess.dataset.fit={fit} must be optimized, romp or 4d_humans.")
        if not held_out or not set(held_out) <= {"test", "val"}:
            raise UserError(f"preprocess.dataset.held_out={list(held_out)} must hold test, val or both.")
        self.fit, self.masks, self.held_out = fit, masks, list(held_out)

    def pictures(self) -> Path:
        return self.picture_files()[0].parent

    def sex(self) -> str | None:
        return "neutral"

    @functools.cached_property
    def _names(self) -> list[str]:
        return [path.name for path in self.picture_files()]

    @functools.cached_property
    def _shots(self) -> dict[str, Shot]:
        shots = {Path(shot.name).name: shot for shot in read_colmap(self.folder / "sparse")}
        return {name: shots[name] for name in self._names if name in shots}

    def lens_files(self) -> list[Path]:
        return [self.file("sparse/cameras.txt"), self.file("sparse/images.txt")]

    def lens(self) -> Lens:
        self.lens_files()
        cameras = [shot.camera for shot in self._shots.values()]
        if not cameras:
            raise UserError(
                f"{self.folder / 'sparse/images.txt'} lists none of the pictures in {self.folder / 'images'}."
            )
        first = cameras[0]
        if any(not np.allclose(c.K, first.K) or not np.allclose(c.D, first.D) for c in cameras):
            raise UserError(f"{self.folder / 'sparse/cameras.txt'} has several cameras, and one must have taken all.")
        return Lens(first.K, first.D)

    def mask_files(self) -> list[Path]:
        folder = self.folder / self.masks
        found = listed(folder, SUFFIXES)
        if not found:
            raise UserError(f"{folder} holds no masks: name their folder with preprocess.dataset.masks=.")
        return found

    @functools.cached_property
    def _masks(self) -> list[Path | None]:
        """The mask of each picture: by its name, or in order if none is named as a picture is, as HUGS has them."""
        files = self.mask_files()
        names, stems = {path.name: path for path in files}, {path.stem: path for path in files}
        found = [names.get(f"{n}.npy") or names.get(n) or stems.get(Path(n).stem) for n in self._names]
        if any(found):
            return found
        if len(files) != len(self._names):
            folder = self.folder / self.masks
            raise UserError(f"{folder} holds {len(files)} masks for {len(self._names)} pictures of other names.")
        return [*files]

    def mask(self, number: int) -> GivenMask | None:
        path = self._masks[number]
        if path is None:
            return None
        if Path(self.masks).name != INVERTED:
            return GivenMask(read_ids_or_coverage(path), path)
        content = load_npy(path) if path.suffix == ".npy" else read_image(path)
        return GivenMask(from_array(_person_is_black(content, path), path), path)

    def pose_files(self) -> list[Path]:
        if self.fit == "4d_humans":
            return [*self.lens_files(), self.file(HUGS)]
        return [*self.lens_files(), self.file(f"smpl_output_{self.fit}.pkl"), self.file("alignments.npy")]

    def poses(self) -> GivenPoses:
        self.pose_files()
        numbers = [number for number, name in enumerate(self._names) if name in self._shots]
        pose, transl, shapes, carried = self._of_hugs(numbers) if self.fit == "4d_humans" else self._aligned(numbers)
        scale = np.cbrt(np.linalg.det(carried[:, :, :3]))
        cameras = [self._shots[self._names[number]].camera for number in numbers]
        R, T = np.stack([camera.R for camera in cameras]), np.stack([camera.T for camera in cameras])
        # camera = R (s A x + t) + T, and dividing by s changes no pixel
        turned = R @ carried[:, :, :3] / scale[:, None, None]
        placed = (np.einsum("fij,fj->fi", R, carried[:, :, 3]) + T) / scale[:, None]
        return GivenPoses(
            numbers=np.array(numbers), pose=pose, transl=transl, shapes=shapes, R=turned, T=placed,
            betas=shapes.mean(0),
        )  # fmt: skip

    def _aligned(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Poses, translations and shapes of NeuMan's fit, and the maps (F, 3, 4) into the scene."""
        path = self.file(f"smpl_output_{self.fit}.pkl")
        people = load_joblib(path)
        person = next(iter(people.values())) if isinstance(people, dict) and len(people) == 1 else None
        if not isinstance(person, dict) or not {"pose", "betas"} <= person.keys():
            raise UserError(f"{path} must hold pose and betas of one person: is it NeuMan's?")
        pose = numeric_array(person["pose"], path, "pose", None, 72)
        betas = numeric_array(person["betas"], path, "betas", len(pose), None)
        rows = [self._row(number, len(pose), path) for number in numbers]
        where = self.file("alignments.npy")
        maps = load_npy(where)
        names = [self._names[number] for number in numbers]
        if not isinstance(maps, dict) or not all(name in maps for name in names):
            raise UserError(f"{where} must hold a 4 x 3 matrix for each of the pictures that COLMAP has registered.")
        carried = np.stack([numeric_array(maps[name], where, name, 4, 3).T for name in names])
        _check_similar(carried[:, :, :3], where)
        return pose[rows].reshape(-1, 24, 3), np.zeros((len(rows), 3)), betas[rows], carried

    def _row(self, number: int, count: int, path: Path) -> int:
        stem = Path(self._names[number]).stem
        if not stem.isdigit() or int(stem) >= count:
            raise UserError(f"{path} holds {count} poses, and none for the picture {self._names[number]}.")
        return int(stem)

    def _of_hugs(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The same of HUGS' fit, which has a row for each registered picture in order."""
        path = self.file(HUGS)
        content = load_npz(path)
        needed = ("global_orient", "body_pose", "transl", "scale", "betas")
        if not set(needed) <= content.keys():
            raise UserError(f"{path} must hold {', '.join(needed)}: is it HUGS'?")
        count = len(numbers)
        root = numeric_array(content["global_orient"], path, "global_orient", count, 3)
        pose = np.concatenate([root, numeric_array(content["body_pose"], path, "body_pose", count, 69)], 1)
        betas = numeric_array(content["betas"], path, "betas", count, None)
        scale = numeric_array(content["scale"], path, "scale", count)
        if (scale <= 0).any():
            raise UserError(f"{path}: scale must hold positive numbers.")
        transl = numeric_array(content["transl"], path, "transl", count, 3)
        carried = np.concatenate([scale[:, None, None] * np.eye(3), transl[..., None]], 2)
        return pose.reshape(-1, 24, 3), np.zeros((count, 3)), betas, carried

    def splits(self) -> Splits:
        lists = {name: self.folder / f"{name}_split.txt" for name in ("train", "val", "test")}
        if all(path.is_file() for path in lists.values()):
            named = {name: path.read_text(encoding="utf-8").split() for name, path in lists.items()}
            place = {name: number for number, name in enumerate(self._names)}
            unknown = [name for names in named.values() for name in names if name not in place]
            if unknown:
                raise UserError(f"the splits in {self.folder} name {unknown[0]}, which {self.folder / 'images'} lacks.")
            chosen = {name: [place[n] for n in names] for name, names in named.items()}
        else:
            chosen = neuman_splits([n for n, name in enumerate(self._names) if name in self._shots])
        held = sorted(number for name in self.held_out for number in chosen[name])
        return {"train": sorted(chosen["train"]), "heldout": held, "novel_pose": []}


def neuman_splits(numbers: Sequence[int]) -> dict[str, list[int]]:
    """NeuMan's division of a scene without lists: every fifth picture is held out, early ones as `test`, late as `val`.

    A scene of fewer than ten pictures, for which the rule leaves no test, is divided as `layout.held_out` does.
    """
    count = len(numbers)
    if count < 2 * VALIDATED:
        few = held_out(count)
        return {"train": [numbers[i] for i in few["train"]], "test": [numbers[i] for i in few["heldout"]], "val": []}
    spacing = int(1 / (count // VALIDATED) * count)  # as its code computes it, rounding included
    taken = list(range(count))[spacing // 2 :: spacing]
    half = len(taken) // 2
    return {
        "train": [number for i, number in enumerate(numbers) if i not in set(taken)],
        "test": [numbers[i] for i in taken[:half]],
        "val": [numbers[i] for i in taken[half:]],
    }


def _person_is_black(content: Any, path: Path) -> np.ndarray:
    """Where a mask of NeuMan's shows the person, as truth values."""
    image = np.asarray(content)
    image = image[..., 0] if image.ndim == 3 else image
    if image.ndim != 2 or image.dtype.kind not in "buif" or not (image == image.max()).any() or not image.any():
        raise UserError(f"{path} is no mask of NeuMan's: the person must be black, and everything else white.")
    return image != image.max()


def _check_similar(linear: np.ndarray, path: Path) -> None:
    """Raises UserError unless all matrices (F, 3, 3) are rotations times a positive number."""
    determinant = np.linalg.det(linear)
    squared = np.cbrt(np.maximum(determinant, 1e-12)) ** 2
    off = np.abs(linear @ linear.transpose(0, 2, 1) / squared[:, None, None] - np.eye(3)).max()
    if (determinant <= 0).any() or off > 0.01:
        raise UserError(f"{path} holds matrices that do more than turn, scale and move.")
