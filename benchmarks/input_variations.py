"""Twenty variations of each kind of input that used to go wrong without a word: right, or one sentence.

    python benchmarks/input_variations.py

Kinds, as `docs/inputs.md` has them: pictures without the person, one person's tracks under several ids, masks in many
codings, colours in many codings, orders and numbers of files, folders that contradict themselves. Every variation has a
known answer, and counts as `right`, as `refused` by one sentence, or as `wrong`; one is enough for exit status 1.
"""

import itertools
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from rich.progress import Progress

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hashhuman.data.agreement import refuse_contradiction  # noqa: E402
from hashhuman.data.subject import Subject  # noqa: E402
from hashhuman.errors import UserError  # noqa: E402
from hashhuman.io.files import load_npy, save_npy  # noqa: E402
from hashhuman.io.masks import read_mask  # noqa: E402
from preprocess.body_fit.source.join import Seen, group  # noqa: E402
from preprocess.body_fit.source.motion import Motion, resample  # noqa: E402
from preprocess.frames.colour import ToRgb  # noqa: E402
from preprocess.frames.numbering import numbers_in, rows_of_pictures  # noqa: E402
from preprocess.frames.video_index import VideoIndex  # noqa: E402
from preprocess.masks.blazepose import BlazePoseMasks  # noqa: E402
from tests import toy  # noqa: E402
from tests.preprocess.masks.clip import film  # noqa: E402

Check = Callable[[Path], bool]  # in an empty folder: whether the answer is right; UserError: refused
COUNT = 20


def nobody() -> Iterator[Check]:
    """Pictures without the person: empty masks there, and full ones elsewhere."""
    for seed in range(COUNT):
        rng = np.random.default_rng(seed)
        absent = tuple(sorted(rng.choice(6, rng.integers(1, 5), replace=False).tolist()))

        def check(root: Path, absent: tuple[int, ...] = absent) -> bool:
            film(root, frames=6, absent=absent)
            with Progress(disable=True) as progress:
                BlazePoseMasks(pictures=0, background=False).run(root, progress)
            reader = Subject(root)
            return all(reader.mask(p).any() == (p.frame not in absent) for p in reader.pictures)

        yield check


def tracks() -> Iterator[Check]:
    """One person's poses under two to five ids, with gaps, beside somebody else: the person's ids, and all of them."""
    for seed in range(COUNT):

        def check(_: Path, seed: int = seed) -> bool:
            rng, count = np.random.default_rng(seed), 90
            at = np.arange(float(count))
            middle = np.stack([400 + 150 * np.sin(at / 15), 300 + 5 * np.cos(at / 3)], -1)
            keypoints = Seen(middle, np.full(count, 300.0), np.ones(count, bool))
            cuts = np.sort(rng.choice(np.arange(8, count - 8, 8), rng.integers(1, 5), replace=False))
            parts = [(rows[: len(rows) - rng.integers(0, 3)], 0.0) for rows in np.split(np.arange(count), cuts)]
            others = [(np.arange(count), float(rng.choice([-1, 1]) * rng.uniform(260, 400)))]
            found = []
            for rows, aside in [*parts, *others]:
                seen = middle[rows] + [aside + 5, 40] + rng.normal(0, 4, (len(rows), 2))
                eye = np.tile(np.eye(3), (len(rows), 22, 1, 1))
                motion = Motion(at[rows], eye, np.zeros((len(rows), 3)), np.zeros(10), None, seen=seen)
                resampled, filled = resample(motion, at, 0.5)
                found.append((resampled, ~filled))
            return set(group(0, found, keypoints)) == set(range(len(parts)))

        yield check


def masks() -> Iterator[Check]:
    """One person's mask in twenty codings: the same coverage from each."""
    truth = np.zeros((90, 120), np.uint8)
    cv2.ellipse(truth, (60, 45), (18, 36), 0, 0, 360, 1, -1)
    person = truth > 0
    colour = np.where(person[..., None], np.uint8([180, 90, 60]), np.uint8(0))
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 120, 3)).astype(np.uint8)
    large = cv2.resize(truth, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    writers: list[Callable[[Path], Path]] = [
        *(lambda root, v=v: _png(root, truth * np.uint8(v)) for v in (1, 2, 38, 127, 200, 255)),
        *(lambda root, v=v: _png(root, truth.astype(np.uint16) * np.uint16(v)) for v in (1, 255, 65535)),
        lambda root: _png(root, np.repeat((truth * 255)[..., None], 3, -1)),
        lambda root: _png(root, np.dstack([photo, truth * 255])),
        lambda root: _png(root, np.dstack([np.full_like(photo, 255), truth * 255])),
        lambda root: _png(root, colour),
        lambda root: _png(root, large * np.uint8(255)),
        lambda root: _array(root, person),
        lambda root: _array(root, truth),
        lambda root: _array(root, truth.astype(np.float32)),
        lambda root: _array(root, np.where(person, 6.0, -6.0)),
        lambda root: _array(root, (truth * 255).astype(np.uint8)),
        lambda root: _array(root, person[None]),
    ]
    for write in writers:
        yield lambda root, write=write: _iou(read_mask(write(root), 90, 120, person) > 0.5, person) > 0.97


def _png(root: Path, image: np.ndarray) -> Path:
    cv2.imwrite(str(root / "mask.png"), image)  # also 16 bits, and four channels
    return root / "mask.png"


def _array(root: Path, array: np.ndarray) -> Path:
    save_npy(root / "mask.npy", array)
    return root / "mask.npy"


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def colours() -> Iterator[Check]:
    """Random colours coded with every matrix, depth and range, as the frame states: within 2 levels."""
    weights = {Colorspace.ITU601: (0.299, 0.114), Colorspace.ITU709: (0.2126, 0.0722)}
    weights[Colorspace.BT2020] = 0.2627, 0.0593
    cases = itertools.islice(itertools.cycle(itertools.product(weights, (8, 10), (False, True))), COUNT)
    for seed, (matrix, bits, full) in enumerate(cases):

        def check(_: Path, seed: int = seed, matrix: int = matrix, bits: int = bits, full: bool = full) -> bool:
            rgb, (red, blue) = np.random.default_rng(seed).integers(16, 236, (8, 3)), weights[matrix]
            luma = rgb / 255 @ [red, 1 - red - blue, blue]
            chroma = [(rgb[:, i] / 255 - luma) / (2 - 2 * w) for i, w in ((2, blue), (0, red))]
            scale, top = 1 << (bits - 8), (1 << bits) - 1
            codes = [luma * top if full else (219 * luma + 16) * scale]
            codes += [each * top + 128 * scale if full else (224 * each + 128) * scale for each in chroma]
            frame = av.VideoFrame(256, 32, "yuv444p" if bits == 8 else "yuv444p10le")
            for plane, code in zip(frame.planes, codes):
                padded = np.zeros(
                    (plane.height, plane.line_size * 8 // (8 if bits == 8 else 16)),
                    np.uint8 if bits == 8 else np.uint16,
                )
                padded[:, :256] = np.repeat(code.round().clip(0, top), 32)
                plane.update(padded.tobytes())
            frame.colorspace, frame.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
            return bool(np.abs(ToRgb()(frame)[16, 16::32].astype(int) - rgb).max() <= 2)

        yield check


def orders() -> Iterator[Check]:
    """Names with and without zeros, of all pictures or the subject's, from 0 or 1: the right file for each picture."""
    names = ("{:06d}", "{}", "mask_{}", "clip2_{:04d}_out", "{:03d}_v1")
    for pattern, first, all_of_them in itertools.product(names, (0, 1), (False, True)):

        def check(_: Path, pattern: str = pattern, first: int = first, all_of_them: bool = all_of_them) -> bool:
            pictures = np.arange(0, 60, 3)
            shown = np.arange(60) if all_of_them else pictures
            numbers = numbers_in([pattern.format(number + first) for number in shown])
            rows = rows_of_pictures(numbers, len(shown), VideoIndex(pictures, None, None), "files")
            return [None if row is None else int(shown[row]) for row in rows] == pictures.tolist()

        yield check


def contradictions() -> Iterator[Check]:
    """T and K in other units or of other pictures: refused. Slight errors, which a fit has too: read."""
    harms = [("T", f) for f in (0.001, 0.01, 0.1, 3, 10, 100, 1000)] + [("K", f) for f in (0.25, 0.4, 2, 2.5, 3, 4, 8)]
    fine = [("T", f) for f in (0.99, 1.0, 1.01)] + [("K", f) for f in (0.98, 1.0, 1.02)]
    for (name, factor), wrong in [*((harm, True) for harm in harms), *((each, False) for each in fine)]:

        def check(root: Path, name: str = name, factor: float = factor, wrong: bool = wrong) -> bool:
            toy.write_subject(root, n_frames=3, n_cameras=1)
            annots = load_npy(root / "annots.npy")
            for camera, matrix in enumerate(annots["cams"][name]):
                scaled = np.array(matrix, float)
                scaled[: 2 if name == "K" else 3] *= factor
                annots["cams"][name][camera] = scaled
            save_npy(root / "annots.npy", annots)
            subject = Subject(root)
            refuse_contradiction(subject, subject.pictures)
            return not wrong

        yield check


KINDS = {
    "nobody there": nobody, "one person, several ids": tracks, "codings of masks": masks, "codings of colours": colours,
    "orders and numbers": orders, "folders that contradict themselves": contradictions,
}  # fmt: skip


def outcomes(kind: str) -> Counter[str]:
    """How many variations of a kind are right, refused and wrong."""
    counts: Counter[str] = Counter()
    for check in KINDS[kind]():
        with tempfile.TemporaryDirectory() as folder:
            try:
                counts["right" if check(Path(folder)) else "wrong"] += 1
            except UserError:
                counts["refused"] += 1
    return counts


def main() -> int:
    """Prints the table; returns the exit status."""
    print("| kind | variations | right | refused | wrong |\n|---|---|---|---|---|")
    wrong = 0
    for kind in KINDS:
        counts = outcomes(kind)
        wrong += counts["wrong"]
        figures = [counts.total(), *(counts[outcome] for outcome in ("right", "refused", "wrong"))]
        print(f"| {kind} | {' | '.join(map(str, figures))} |", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
