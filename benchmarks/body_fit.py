"""Measures fitted bodies against the ground truth of scenes with `videos/<name>.mp4`, `truth.npz` and `annots.npy`.

    python benchmarks/body_fit.py SCENE [SCENE ...] [--subjects FOLDER] [hydra overrides ...]

Each video goes through the stages frames, keypoints and body_fit, whose only input is the pixels. Finished stages are
skipped. The metrics are computed over 22 joints (all but the two hands), matched by name:

- MPJPE: mean distance after subtracting the pelvis (mm), in the camera's axes
- PA: the same after the best similarity transform of each frame (mm)
- scale: the factor by which the fit matches best over the whole sequence, since one camera cannot determine stature
- jitter: mean error of the joints' acceleration relative to the pelvis (mm per frame^2)
- IoU: mean overlap of the body (without clothes) and the network's mask; pixels: median distance of points

Results are kept in benchmarks/results/.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.placing import joint_key, true_joints  # noqa: E402
from hashhuman.io.files import load_npy, load_npz  # noqa: E402
from preprocess.stage import run_stages  # noqa: E402

STAGES = ("frames", "keypoints", "body_fit")


def filmed_joints(scene: Path) -> tuple[list[str], np.ndarray]:
    """Names and positions (F, J, 3) of the filmed frames' joints in the axes of camera 0 (m)."""
    truth, cams = true_joints(scene), load_npy(scene / "annots.npy")["cams"]
    frames = json.loads((scene / "scene.json").read_text())["frames"]
    rotation, translation = np.asarray(cams["R"][0]), np.ravel(cams["T"][0]) / 1000
    return list(truth), np.stack(list(truth.values()), 1)[:frames] @ rotation.T + translation


def procrustes(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Each frame's points (F, J, 3) after the similarity transform that fits them best to the target."""
    a, b = points - points.mean(1, keepdims=True), target - target.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(np.einsum("fni,fnj->fij", b, a))
    sign = np.ones_like(s)
    sign[:, 2] = np.linalg.det(u @ vt)
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(1) / (a**2).sum((1, 2))
    return scale[:, None, None] * np.einsum("fij,fnj->fni", rotation, a) + target.mean(1, keepdims=True)


def score(fit: dict[str, np.ndarray], names: list[str], truth: np.ndarray) -> dict[str, float]:
    """The metrics of one scene."""
    fitted = [joint_key(str(n)) for n in fit["joint_names"]]
    return distances(dict(zip(fitted, fit["joints"].swapaxes(0, 1))), dict(zip(names, truth.swapaxes(0, 1)))) | {
        "IoU": float(np.nanmean(fit["silhouette_iou"])),
        "pixels": float(np.nanmedian(fit["reprojection_error"])),
    }


def distances(joints: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The metrics of joints alone.

    Args:
        joints: positions (F, 3) of each joint by `joint_key`, in the camera's axes (m).
        truth: the true ones; the first is the pelvis, and hands do not count.
    """
    kept = [name for name in truth if "hand" not in name]
    found, true = (np.stack([named[name] for name in kept], 1).astype(float) for named in (joints, truth))
    found, true = found - found[:, :1], true - true[:, :1]

    def millimetres(x: np.ndarray) -> float:
        return float(np.linalg.norm(x, axis=-1).mean() * 1000)

    return {
        "MPJPE": millimetres(found - true),
        "PA": millimetres(procrustes(found, true) - true),
        "scale": float((found * true).sum() / (found**2).sum()),
        "jitter": millimetres(np.diff(found - true, n=2, axis=0)),
    }


def preprocess_scene(scene: Path, subject: Path, overrides: list[str], stages: Sequence[str] = STAGES) -> None:
    """Runs the stages on the scene's video."""
    video = next((scene / "videos").glob("*.mp4"))
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("preprocess", overrides=[f'video="{video}"', *overrides]).preprocess
        run_stages([instantiate(config[name]) for name in stages], subject, force=config.force)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", help="scene folders, and overrides of the configuration (with an =)")
    parser.add_argument("--subjects", type=Path, default=Path("data/subjects"), help="where subjects are made")
    arguments = parser.parse_args()
    overrides = [x for x in arguments.scenes if "=" in x]
    rows = {}
    for scene in (Path(x).resolve() for x in arguments.scenes if "=" not in x):
        subject = arguments.subjects / scene.name
        preprocess_scene(scene, subject, overrides)
        rows[scene.name] = score(load_npz(subject / "body_fit.npz"), *filmed_joints(scene))
    rows["mean"] = {key: float(np.mean([row[key] for row in rows.values()])) for key in next(iter(rows.values()))}
    print(f"\n{'scene':<12}" + "".join(f"{key:>8}" for key in rows["mean"]))
    for name, row in rows.items():
        print(f"{name:<12}" + "".join(f"{v:8.3f}" if k in ("scale", "IoU") else f"{v:8.1f}" for k, v in row.items()))


if __name__ == "__main__":
    main()
