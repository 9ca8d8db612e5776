"""Memory of the GPU in a whole command, and the wait for a second run with one option changed; older checkouts beside.

    python benchmarks/second_run.py --clip FILE [--old FOLDER ...] [--repeat 1] [--changed optimizer.lr=0.008]
                                    [--json FILE] [--out FILE.md] [-- overrides of train.py]

Each checkout in turn runs `python train.py data=monocular video=CLIP OVERRIDES` in an empty folder, then once more with
the changed option, for a second of training, from the subject that is there now. The table has of the first run its
seconds and its peaks of the GPU's memory: what tensors of training occupied, what PyTorch kept for the process, and
what the whole process had in use by `nvidia-smi`; and its PSNR. Of both runs it has the seconds from the command typed
to the first step. Every finished run is in the JSON at once.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import Row, cell, finish, markdown  # noqa: E402
from benchmarks.whole import MIB, Finished, arguments, in_turn, watched  # noqa: E402


def to_first_step(run: Finished) -> float:
    """Seconds from the command typed to its first step of training."""
    return run.noted["first_step"] - run.begun


def measure(build: Path, video: str, overrides: Sequence[str], changed: str) -> Row:
    """Both runs of one checkout."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = watched(build, folder, video, overrides)
        training = json.loads((first.run / "timing.json").read_text())
        splits = json.loads((first.run / "evaluation/metrics.json").read_text())["splits"]
        second = watched(build, folder, video, [*overrides, changed, "budget_s=1"])
    peak = training["peak_gpu_bytes"]
    return {
        "whole command (s)": first.ended - first.begun,
        "typed to first step (s)": to_first_step(first),
        "typed to first step, second run (s)": to_first_step(second),
        "steps": training["steps"],
        "GPU, tensors of training (MiB)": peak and peak / MIB,
        "GPU, kept by PyTorch (MiB)": first.noted["reserved_mib"],
        "GPU, in use by nvidia-smi (MiB)": first.gpu_mib,
        "resident memory (MiB)": first.memory_mib,
    } | {f"PSNR, {split} (dB)": found["mean"]["psnr_full"] for split, found in splits.items() if found["mean"]}


def page(rows: Sequence[Row], builds: Sequence[str]) -> str:
    """Medians of each checkout's rows."""
    of = {build: [row for row in rows if row["build"] == build] for build in builds}
    of = {build: found for build, found in of.items() if found}
    lines = []
    for name in rows[0]["figures"]:
        columns = {build: [row["figures"].get(name) for row in found] for build, found in of.items()}
        medians = [None if None in column else float(statistics.median(column)) for column in columns.values()]
        lines.append([name, *(cell(name, median) for median in medians)])
    about = f"{rows[0]['command']}, second run with {rows[0]['changed']}, {rows[0]['machine']}"
    return f"`{about}`, medians of {min(map(len, of.values()))} runs\n\n" + markdown(["", *of], lines) + "\n"


def main() -> None:
    """Parses the command line, runs the checkouts in turn, prints the table."""
    parser = arguments(__doc__, None, 1)
    parser.add_argument("--changed", default="optimizer.lr=0.008", help="the option that the second run changes")
    known, overrides = cut(sys.argv[1:])
    given = parser.parse_args(known)
    rows, builds = in_turn(
        given, overrides, {"changed": given.changed},
        lambda build, video: {"figures": measure(build, video, overrides, given.changed)},
    )  # fmt: skip
    finish(page(rows, builds), given.out, False)


if __name__ == "__main__":
    main()
