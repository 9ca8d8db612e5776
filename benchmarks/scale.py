"""What the whole command costs against the number of pictures and of pixels: seconds of each stage, and memory.

    python benchmarks/scale.py [--clip FILE] [--pictures 100 400 1600] [--sizes 480 960 1920] [--out FILE.md]
                               [-- overrides of train.py]

The clip (without `--clip`: the demo's recording) is written anew for each row: its pictures forwards and backwards
until there are enough, with a long side of so many pixels. The first of `--pictures` and of `--sizes` is the usual
one, which holds while the other grows. Each row is one run of `python train.py data=monocular` in an empty folder. The
growth of a column is the exponent of its last row against its first: 1 is as fast as the input grows (pixels: the
square of the size), and what lies above grows faster. A row whose run fails ends the program with its message.
"""

import argparse
import itertools
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import Row, finish, table  # noqa: E402
from benchmarks.whole import machine, watched  # noqa: E402
from hashhuman.io.assets import fetch  # noqa: E402
from hashhuman.io.video import write_video  # noqa: E402
from preprocess.assets import POSE2SIM_VIDEOS  # noqa: E402
from preprocess.frames.decode import decode  # noqa: E402

STAGES = ("frames", "keypoints", "body_fit", "masks", "blend_weights", "quality", "report")
RATE = 30  # pictures a second of the clips


def there_and_back(count: int) -> Iterator[int]:
    """0, 1 ... count - 1, count - 2 ... 1, 0, 1 ... without end."""
    return itertools.cycle([*range(count), *range(count - 2, 0, -1)])


def write(source: Path, path: Path, pictures: int, size: int) -> None:
    """Writes a clip of so many pictures, with a long side of `size` pixels (rounded to even sides)."""

    def resized(image: np.ndarray) -> np.ndarray:
        height, width = (2 * round(side * size / max(image.shape) / 2) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    small = [resized(picture.image) for picture in decode(source)]
    write_video(path, (small[index] for index in itertools.islice(there_and_back(len(small)), pictures)), RATE)


def measure(source: Path, pictures: int, size: int, overrides: Sequence[str]) -> Row:
    """One run: seconds of its stages by the clock, and its largest memory."""
    with tempfile.TemporaryDirectory() as temporary:
        clip = Path(temporary, "clip.mp4")
        write(source, clip, pictures, size)
        done = watched(ROOT, Path(temporary), str(clip), overrides)
    seconds = {name: wall for name, (wall, *_) in done.noted["seconds"].items()}
    stages = {name: seconds.get(f"preprocessing: {name}", 0.0) for name in STAGES}
    rest = {name: seconds.get(name, 0.0) for name in ("set-up", "training", "evaluation")}
    memory = {"memory (MiB)": done.memory_mib, "GPU (MiB)": done.gpu_mib}
    return {"pictures": pictures, "long side": size, "whole (s)": done.ended - done.begun} | stages | rest | memory


def growth(rows: Sequence[Row], inputs: Sequence[float]) -> Row:
    """The exponent of each column's growth with the input, from the first row to the last."""
    ratio = math.log(inputs[-1] / inputs[0])
    first, last = rows[0], rows[-1]
    found = {
        name: math.log(last[name] / first[name]) / ratio
        for name in first
        if name not in ("pictures", "long side") and first[name] and last[name]
    }
    return {"pictures": "growth", "long side": "-"} | found


def main() -> None:
    """Parses the command line, measures, prints the tables."""
    known, overrides = cut(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video file")
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 400, 1600])
    parser.add_argument("--sizes", type=int, nargs="+", default=[480, 960, 1920], help="long sides (pixels)")
    parser.add_argument("--out", type=Path, help="write the page here")
    given = parser.parse_args(known)
    source = given.clip or fetch(POSE2SIM_VIDEOS[0])
    usual = given.sizes[0]
    pages = [f"`python train.py data=monocular {' '.join(overrides)}`, {machine()}"]
    by_pictures: list[Row] = []
    by_size: list[Row] = []
    for rows, points in (
        (by_pictures, [(count, usual) for count in given.pictures]),
        (by_size, [(given.pictures[0], size) for size in given.sizes]),
    ):
        for count, size in points:
            known_row = next((r for r in by_pictures if (r["pictures"], r["long side"]) == (count, size)), None)
            rows.append(known_row or measure(source, count, size, overrides))
            print(rows[-1], file=sys.stderr, flush=True)
        inputs = [float(count * size**2) for count, size in points]
        grown = [growth(rows, inputs)] if len(rows) > 1 else []
        pages.append(table([*rows, *grown]))
        if given.out:
            given.out.write_text("\n\n".join(pages) + "\n")
    finish("\n\n".join(pages) + "\n", given.out, False)


if __name__ == "__main__":
    main()
