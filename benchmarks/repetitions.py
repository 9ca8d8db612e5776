"""Repeats the small pipeline, each time in new processes and a new folder, and compares all files byte by byte.

    python benchmarks/repetitions.py [--times 20] [--out FILE.md]

The pipeline is that of `small_pipeline.py`: preprocessing of a real video, training, evaluation, evaluation by eval.py,
and export. The folder lies at the same place each time, since configs hold absolute paths. Entries that state times are
not compared; the page names their files. Exit status 1 if anything else differs.
"""

import argparse
import platform
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import small_pipeline as pipeline  # noqa: E402
from benchmarks.tables import finish, markdown  # noqa: E402

PHASES = ("preprocessing", "training", "evaluation again", "export")


def main() -> None:
    """Repeats, compares, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    options = parser.parse_args()
    first: dict[str, str] = {}
    different: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve() / "place"
        for number in range(1, options.times + 1):
            pipeline.replace(place, None)
            for phase in PHASES:
                (pipeline.import_what if number == 1 else pipeline.finished)(phase, place)
            found = pipeline.contents(place)
            first = first or found
            changed = pipeline.differences(found, first)
            different.update(changed)
            print(f"{number} of {options.times}: {len(found)} files, other than the first time: {changed}", flush=True)
    kinds: dict[str, list[str]] = {}
    for name in first | different:
        kinds.setdefault(Path(name).suffix or "none", []).append(name)
    rows = [[kind, str(len(names)), str(sum(n in different for n in names))] for kind, names in sorted(kinds.items())]
    total = ["all", str(sum(map(len, kinds.values()))), str(len(different))]
    machine = f"{platform.machine()}, CPU, torch {torch.__version__}"
    text = f"# Repetitions\n\n`python benchmarks/repetitions.py --times {options.times}`, on {machine}\n\n"
    text += markdown(["files", "number", "different in a repetition"], [*rows, total]) + "\n"
    text += "".join(f"\n- {name}: {count} times" for name, count in sorted(different.items()))
    finish(f"{text}\nCompared but for what states times: {pipeline.TIMED}.\n", options.out, bool(different))


if __name__ == "__main__":
    main()
