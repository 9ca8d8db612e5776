"""Tests the checks of fit and blur on correct bodies, on the same bodies with known errors, and on smeared pictures.

    python benchmarks/gate.py SCENE [SCENE ...] [--subjects FOLDER] [--fits SUBJECT ...] [--out FILE.md]

Scenes are those of `body_fit.py`, with exact masks and bodies. Points are those that the stage `keypoints` finds in the
scene's video; `body_fit.py` leaves them in FOLDER/<scene>. `--fits` names finished subjects of any origin. Figures are
those of `preprocess/quality.py` for the median picture, one for each scene. Verdicts follow the limits in
`conf/preprocess/doctor/default.yaml`.
"""

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.body_fit import preprocess_scene  # noqa: E402
from benchmarks.tables import markdown, reproducible  # noqa: E402
from hashhuman.body.template import BodyPose, BodyTemplate  # noqa: E402
from hashhuman.data.subject import Subject, SubjectWriter  # noqa: E402
from hashhuman.geometry.camera import Camera  # noqa: E402
from preprocess.body_fit.cameras import scaled  # noqa: E402
from preprocess.body_fit.result import write_body  # noqa: E402
from preprocess.doctor.clip import blur, height  # noqa: E402
from preprocess.doctor.inspection import inspect_subject  # noqa: E402
from preprocess.findings import Verdict, worst  # noqa: E402
from preprocess.keypoints.points import Keypoints, points_path  # noqa: E402
from preprocess.quality import Quality, measure  # noqa: E402
from preprocess.skeleton import NAMES  # noqa: E402

CHECKS = ROOT / "conf/preprocess/doctor/default.yaml"
SIDES = {"left": "right", "right": "left"}
EXCHANGED = [NAMES.index("_".join(SIDES.get(word, word) for word in name.split("_"))) for name in NAMES]
SMEARED = (0.0, 0.01, 0.02, 0.04)  # widths of the smear, as shares of the person's height


@dataclasses.dataclass(frozen=True)
class Case:
    """One camera's view of F frames of a person, with the body that is assumed there."""

    camera: Camera
    template: BodyTemplate
    poses: list[BodyPose]
    keypoints: Keypoints


Change = Callable[[Case, np.random.Generator], Case]


def moved(shift: Sequence[float]) -> Change:
    """Moves the body along the camera's axes (right, down, away; m)."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        offset = torch.tensor(shift).float() @ case.camera.R
        return dataclasses.replace(case, poses=[dataclasses.replace(p, transl=p.transl + offset) for p in case.poses])

    return change


def taller(factor: float) -> Change:
    """Scales the body about its pelvis."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        pelvis = [p.world_from_posed()[:3, :3] @ case.template.joints[0] for p in case.poses]
        poses = [dataclasses.replace(p, transl=p.transl + (1 - factor) * x) for p, x in zip(case.poses, pelvis)]
        return dataclasses.replace(case, template=scaled(case.template, factor), poses=poses)

    return change


def enlarged(factor: float) -> Change:
    """Scales the body and its distance by the same factor, so that the picture stays the same."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        center = case.camera.center
        poses = [dataclasses.replace(p, transl=center + factor * (p.transl - center)) for p in case.poses]
        return dataclasses.replace(case, template=scaled(case.template, factor), poses=poses)

    return change


def zoomed(factor: float) -> Change:
    """Scales the focal length after the fit."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        K = case.camera.K.clone()
        K[:2, :2] *= factor
        return dataclasses.replace(case, camera=dataclasses.replace(case.camera, K=K))

    return change


def exchanged(case: Case, rng: np.random.Generator) -> Case:
    """Exchanges left and right points, as if the fit showed the person from behind."""
    points = {name: getattr(case.keypoints, name)[:, EXCHANGED] for name in ("image_points", "visibility", "presence")}
    return dataclasses.replace(case, keypoints=dataclasses.replace(case.keypoints, **points))


def trembling(metres: float, degrees: float) -> Change:
    """Adds noise to the body's position and every joint's rotation in each frame, with these standard deviations."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        def noisy(pose: BodyPose) -> BodyPose:
            turns = torch.from_numpy(rng.normal(0, np.deg2rad(degrees), pose.body_pose.shape)).float()
            turns[0] = 0  # the root is rotated by `orient`, by convention
            shift = torch.from_numpy(rng.normal(0, metres, 3)).float()
            return dataclasses.replace(pose, body_pose=pose.body_pose + turns, transl=pose.transl + shift)

        return dataclasses.replace(case, poses=[noisy(pose) for pose in case.poses])

    return change


def late(frames: int) -> Change:
    """Gives each frame the body of an earlier one."""

    def change(case: Case, rng: np.random.Generator) -> Case:
        return dataclasses.replace(case, poses=[case.poses[max(0, i - frames)] for i in range(len(case.poses))])

    return change


def in_part(change: Change, share: float) -> Change:
    """Applies a change to the first frames only, up to this share of all frames."""

    def partly(case: Case, rng: np.random.Generator) -> Case:
        count, spoilt = round(share * len(case.poses)), change(case, rng)
        return dataclasses.replace(case, poses=spoilt.poses[:count] + case.poses[count:])

    return partly


CHANGES: dict[str, Change] = {
    "the true body": lambda case, rng: case,
    "5 cm to the side": moved((0.05, 0, 0)),
    "10 cm to the side": moved((0.1, 0, 0)),
    "20 cm farther away": moved((0, 0, 0.2)),
    "5 % too tall": taller(1.05),
    "10 % too tall": taller(1.1),
    "10 % too tall, and as much farther away": enlarged(1.1),
    "focal length 0.93 times as long": zoomed(0.93),
    "focal length 0.85 times as long": zoomed(0.85),
    "focal length 1.1 times as long": zoomed(1.1),
    "focal length 1.25 times as long": zoomed(1.25),
    "left and right exchanged": exchanged,
    "noise of 2 mm": trembling(0.002, 0),
    "noise of 10 mm": trembling(0.01, 0),
    "noise of 1 degree": trembling(0, 1),
    "noise of 5 degrees": trembling(0, 5),
    "2 frames late": late(2),
    "10 frames late": late(10),
    "30 cm to the side in 20 % of the frames": in_part(moved((0.3, 0, 0)), 0.2),
    "30 cm to the side in 40 % of the frames": in_part(moved((0.3, 0, 0)), 0.4),
}


def opened(scene: Path, subject: Path) -> Case:
    """The true body in the filmed frames, and the points that were detected there."""
    reader, keypoints = Subject(scene), Keypoints.load(points_path(subject))
    poses = [reader.pose(frame) for frame in keypoints.frames.tolist()]
    return Case(reader.camera(0), reader.template(), poses, keypoints)


def judged(scene: Path, case: Case) -> Quality:
    """The quality figures of a case, with the scene's masks."""
    reader = Subject(scene)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        writer = SubjectWriter(folder)
        frames = case.keypoints.frames.tolist()
        pictures = {picture.frame: picture for picture in reader.pictures if picture.camera == 0}
        chosen = [pictures[frame] for frame in frames]
        for picture in chosen:
            for path in (picture.image, picture.mask):
                assert path is not None
                link = folder / path.relative_to(scene)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        images = [folder / picture.image.relative_to(scene) for picture in chosen]
        writer.write_annots([case.camera], [reader.distortion(0)], [[image] for image in images])
        write_body(writer, case.template, case.poses, frames, np.zeros(1))
        case.keypoints.save(points_path(folder))
        with Progress(disable=True) as progress:
            return measure(folder, progress)


def cells(qualities: Sequence[Quality]) -> list[str]:
    """Distance to the points (%), overlap, jitter (mm) and verdict of each case, and all findings that are not OK."""
    fit = instantiate(OmegaConf.load(CHECKS).fit)
    findings = [fit(quality) for quality in qualities]
    wrong = [[f.name for f in found if f.verdict is not Verdict.OK] for found in findings]
    columns = [
        [f"{100 * np.nanmedian(quality.off[0]):.1f}" for quality in qualities],
        [f"{np.nanmedian(quality.silhouette_iou[0]):.2f}" for quality in qualities],
        [f"{np.nanmedian(quality.jitter):.1f}" for quality in qualities],
        [worst(found).word for found in findings],
        list(dict.fromkeys(name for names in wrong for name in names)),
    ]
    return [", ".join(column) for column in columns]


def spoilt(scenes: Sequence[Path], cases: Sequence[Case]) -> str:
    """A table with a row for each change, with the figures of all scenes."""
    lines = []
    for name, change in CHANGES.items():
        found = [judged(scene, change(case, np.random.default_rng(0))) for scene, case in zip(scenes, cases)]
        lines.append([name, *cells(found)])
        print(*lines[-1], sep=" | ", file=sys.stderr, flush=True)
    heads = ["change", "distance to the points, % of the height", "IoU", "jitter, mm", "verdict", "not fine"]
    return markdown(heads, lines)


def fits(subjects: Sequence[Path]) -> str:
    """A table with a row for each finished subject: the median picture, with the worst one in brackets."""
    lines = []
    for subject in subjects:
        with Progress(disable=True) as progress:
            quality = measure(subject, progress)
        beyond = (quality.beyond > OmegaConf.load(CHECKS).fit.tolerance).mean()
        figures = ((100 * quality.off[0], np.nanmax, 1), (quality.silhouette_iou[0], np.nanmin, 2))
        lines.append([
            subject.name,
            *(f"{np.nanmedian(values):.{n}f} ({extreme(values):.{n}f})" for values, extreme, n in figures),
            f"{np.nanmedian(quality.jitter):.1f} ({np.nanmax(quality.jitter):.1f})", f"{100 * beyond:.0f} %",
            *cells([quality])[3:],
        ])  # fmt: skip
    heads = ["clip", "distance to the points, % of the height", "IoU", "jitter, mm", "pictures beyond limits"]
    return markdown([*heads, "verdict", "not fine"], lines)


def blurred(subjects: Sequence[Path]) -> str:
    """A table with a row for each clip: motion blur of the person in the original and in smeared pictures."""
    lines = []
    for subject in subjects:
        inspections = [each for each in inspect_subject(subject, 12) if each.person is not None]
        found = []
        for share in SMEARED:
            values = []
            for each in inspections:
                assert each.person is not None
                width = max(1, round(share * height(each.person)))
                smeared = cv2.filter2D(each.image, -1, np.full((1, width), 1 / width))
                values.append(blur(smeared, each.person))
            found.append(f"{np.median(values):.2f}")
        lines.append([subject.name, *found])
    return markdown(["clip", "original", *(f"smeared by {100 * share:g} %" for share in SMEARED[1:])], lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", type=Path)
    parser.add_argument("--subjects", type=Path, default=Path("data/subjects"), help="where subjects are made")
    parser.add_argument("--fits", nargs="*", type=Path, default=[], help="finished subjects")
    parser.add_argument("--out", type=Path, help="write the page here")
    arguments = parser.parse_args()
    scenes = [scene.resolve() for scene in arguments.scenes]
    subjects = [arguments.subjects / scene.name for scene in scenes]
    for scene, subject in zip(scenes, subjects):
        preprocess_scene(scene, subject, [], ("frames", "keypoints"))
    named = [scene.name for scene in scenes]
    command = f"`python benchmarks/{reproducible(sys.argv)}`"
    pages = ["# What the checks of a fit find", command, f"## The true body, with known errors ({', '.join(named)})"]
    pages += [spoilt(scenes, [opened(scene, subject) for scene, subject in zip(scenes, subjects)])]
    if arguments.fits:
        pages += ["## Fits (the worst picture in brackets)", fits(arguments.fits)]
    pages += ["## Motion blur, by the width of the smear as a share of the person's height", blurred(subjects)]
    page = "\n\n".join(pages) + "\n"
    print(page)
    if arguments.out:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
