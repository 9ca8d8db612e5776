"""Reads a calibration of any known kind."""

from pathlib import Path

from hashhuman.errors import UserError
from preprocess.calibration.cameras import Calibration
from preprocess.calibration.opencv import EXTRI, INTRI, read_easymocap, read_opencv
from preprocess.calibration.pose2sim import read_pose2sim
from preprocess.calibration.qualisys import read_qualisys


def calibration_files(path: Path) -> list[Path]:
    """The files, or the folder, that a calibration consists of; they need not exist."""
    folder = _easymocap_folder(path)
    return [path] if folder is None else [folder / INTRI, folder / EXTRI]


def read_calibration(path: Path) -> dict[str, Calibration]:
    """The cameras of a calibration by name. T has the file's unit of length; Qualisys' millimetres become metres.

    Args:
        path: a folder with EasyMocap's intri.yml and extri.yml, or one of these two files; a Qualisys `.qca.txt`;
            Pose2Sim's `.toml`; a file of OpenCV's FileStorage (.yml, .xml, .json) with all cameras; or a folder with
            such a file for each.

    Raises UserError if it is none of these, holds no camera, or holds a damaged one.
    """
    if not path.exists():
        raise UserError(f"There is no calibration {path}: correct its path.")
    if (folder := _easymocap_folder(path)) is not None:
        cameras = read_easymocap(folder)
    elif path.suffix.lower() == ".toml":
        cameras = read_pose2sim(path)
    elif path.suffix.lower() in (".txt", ".qca"):
        cameras = read_qualisys(path)
    else:
        cameras = read_opencv(path)
    if not cameras:
        raise UserError(
            f"{path} holds no camera of EasyMocap, Qualisys, Pose2Sim or OpenCV: name the calibration with "
            "preprocess.frames.calibration=."
        )
    return cameras


def _easymocap_folder(path: Path) -> Path | None:
    """The folder with intri.yml and extri.yml that a path stands for, or None if it stands for something else."""
    if path.is_dir():
        return path if (path / INTRI).exists() else None
    return path.parent if path.name in (INTRI, EXTRI) else None
