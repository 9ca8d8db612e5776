"""Trains with each part of the present default left out alone, and with each optional part added alone.

    python benchmarks/ablation.py SUBJECT ... [--scenes FOLDER] [--plain FOLDER] [--only PART ...] [--workers N]
        [-- overrides of all runs, such as trainer.max_steps=3000]

A subject is a folder that `python -m preprocess` or `real.py prepare` made. If `--scenes` holds a scene of its name,
its held-out frames are compared with the true pictures, as real.py does; otherwise with the video's own. `far %` and
`holes %` are those of wisps.py in the canonical pose. `--plain` holds subjects of the same names that were made with
`preprocess.masks.matting=false`; without it, that part is not left out.

Runs get the same number of steps, not of seconds. So nothing but the part differs, and several can share a GPU.
"""

import argparse
import concurrent.futures
import dataclasses
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import real, wisps  # noqa: E402
from benchmarks.overrides import cut  # noqa: E402
from benchmarks.speed import train_here  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.data.subject import Subject  # noqa: E402
from hashhuman.io.files import load_json  # noqa: E402

TITLES = {"parts": "Each part left out or added alone"}
DEFAULT = ("pose=refined", "callbacks=carved")  # what data=monocular trains with on a GPU
OWN = (*(word for word in real.TRAINING if word != "metrics.lpips=null"), "metrics.lpips.net=alex")  # without a truth
MATTES = "without mattes"


@dataclasses.dataclass(frozen=True)
class Part:
    """A change of the default."""

    name: str
    overrides: tuple[str, ...]
    expected: str


PARTS = (
    Part("default", (), "-"),
    Part(MATTES, (), "a rim of background: 2 to 3 dB less, mask IoU .01 less"),
    Part("poses as fitted", ("pose=fixed",), "blurred limbs: 2 to 3 dB less"),
    Part("not carved, not completed", ("callbacks=default",), "far alpha several times as much; held-out frames equal"),
    Part("carved, not completed", ("loss.completion.weight=0",), "holes and haze where nothing was filmed"),
    Part("with exposure", ("exposure=learned",), "nothing, unless the camera changes while it films"),
    Part("with LPIPS in the end", ("loss=sharp",), "lower LPIPS, PSNR equal"),
    Part("with rays where errors are", ("data.ray_sampler.shares.errors=0.5",), "faces and hands sharper, PSNR equal"),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """A run to make."""

    part: Part
    subject: Path
    scene: Path | None
    overrides: tuple[str, ...]

    def __call__(self) -> Row:
        """Trains and measures."""
        with tempfile.TemporaryDirectory() as temporary:
            run = Path(temporary) / self.subject.name
            training = real.TRAINING if self.scene else OWN
            words = [*training, *DEFAULT, *self.part.overrides, *self.overrides]
            trained = train_here(self.subject, words, run)
            row: Row = {"scene": self.subject.name, "label": self.part.name, "device": real.device()}
            row |= {"steps": trained["steps"], "train_s": trained["train_s"]}
            if self.scene:
                row |= real.rendered(self.scene, Subject(self.subject), run / "evaluation")
            else:
                row |= own(run)
            canonical = wisps.measured(run, None, None, groups=("canonical",))[0]
            return row | {name: canonical[name] for name in ("far %", "holes %")} | {"expected": self.part.expected}


def own(run: Path) -> Row:
    """The figures of held-out frames that the run computed itself."""
    split = load_json(run / "evaluation/metrics.json")["splits"]["heldout"]
    return {"pictures": split["pictures"]} | {name: split["mean"][name] for name in real.SHOWN}


def jobs(options: argparse.Namespace, overrides: Sequence[str]) -> Iterator[Job]:
    """All runs."""
    for part in (part for part in PARTS if not options.only or part.name in options.only):
        for subject in options.subjects:
            scene = options.scenes / subject.name if options.scenes else None
            scene = scene if scene and scene.is_dir() else None
            if part.name != MATTES:
                yield Job(part, subject, scene, tuple(overrides))
            elif options.plain:
                yield Job(part, options.plain / subject.name, scene, tuple(overrides))


def resolved(text: str) -> Path:
    """A path of the command line."""
    return Path(text).resolve()


def main() -> None:
    """Makes all runs and writes their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subjects", nargs="+", type=resolved)
    parser.add_argument("--scenes", type=resolved)
    parser.add_argument("--plain", type=resolved)
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS])
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    known, overrides = cut(sys.argv[1:])
    options = parser.parse_args(known)
    book, page = Book("ablation", TITLES, options.results), ""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(options.workers, context) as pool:
        for ended in concurrent.futures.as_completed([pool.submit(job) for job in jobs(options, overrides)]):
            row = ended.result()
            print(row, file=sys.stderr, flush=True)
            page = book.keep("parts", reproducible(sys.argv[1:]), [row])  # at once: what has ended is not lost
    print(page)


if __name__ == "__main__":
    main()
