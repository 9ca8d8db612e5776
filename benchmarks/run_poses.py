"""Compares the poses of kept runs, as they were fitted and as they were refined, with the true ones.

    python benchmarks/run_poses.py RUN ... --scenes FOLDER --subjects FOLDER [--label NAME] [--results FOLDER]

A run is FOLDER/NAME that `real.py score --runs FOLDER` kept; the other folders hold the scene and the subject NAME. The
metrics are those of body_fit.py, over all frames of the video: those that were held out have the interpolated poses
that they are rendered in. `scale` is what one camera cannot tell.

Rows are kept in results/run_poses_DEVICE.json, from which results/run_poses_DEVICE.md is written.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.body_fit import distances, filmed_joints  # noqa: E402
from benchmarks.placing import named_joints  # noqa: E402
from benchmarks.real import device  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.training import run  # noqa: E402

TITLES = {"poses": "Poses as fitted and as refined, against the true ones (mm)"}


def measured(folder: Path, scene: Path, subject: Path, label: str) -> list[Row]:
    """A row for the fitted poses and one for those of the run."""
    module, data, _ = run.load(folder, OmegaConf.create({"data": {"root": str(subject)}}))
    pictures = data.subject.meta["video"]["pictures"]
    frames, camera = data.subject.posed_frames, data.subject.camera(0)
    names, truth = filmed_joints(scene)
    true = dict(zip(names, truth[[pictures[frame] for frame in frames]].swapaxes(0, 1)))
    fitted = [data.subject.pose(frame) for frame in frames]
    refined = [module.avatar.refined_pose(pose, frame) for pose, frame in zip(fitted, frames)]
    rows: list[Row] = []
    for kind, poses in (("as fitted", fitted), ("as refined", refined)):
        joints = named_joints(data.subject.template(), poses)
        seen = {name: x @ np.asarray(camera.R).T + np.asarray(camera.T).ravel() for name, x in joints.items()}
        row: Row = {"scene": scene.name, "label": f"{label}, {kind}", "device": device(), "frames": len(frames)}
        rows.append(row | distances(seen, true))
    return rows


def main() -> None:
    """Measures all runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--subjects", type=Path, required=True)
    parser.add_argument("--label", default="default", help="what the rows are called")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    given = parser.parse_args()
    rows: list[Row] = []
    for folder in given.runs:
        rows += measured(folder, given.scenes / folder.name, (given.subjects / folder.name).resolve(), given.label)
    print(Book("run_poses", TITLES, given.results).keep("poses", reproducible(sys.argv[1:]), rows))


if __name__ == "__main__":
    main()
