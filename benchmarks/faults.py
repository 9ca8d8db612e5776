"""Stops the small pipeline at points spread evenly over its time, starts it again, and compares the results.

    python benchmarks/faults.py [--kills 200] [--signals 60] [--seed 0] [--workers 1] [--state FILE] [--out FILE.md]

The pipeline is that of `small_pipeline.py`: a real video is preprocessed, an avatar is trained, evaluated (after
training, and by eval.py) and exported. A quarter of all attempts goes to each of these four. A command is ended by
SIGKILL, or by SIGTERM and SIGINT in turn, at a point of its own; then the same command runs to its end. All files must
then be those of a command that nothing stopped, byte by byte but for stated times, and what was finished when the
command was stopped may not be made again: stages of the subject, steps before the last checkpoint, final weights, the
evaluation after training. A signal must end the command with its status and one sentence.

Attempts are kept in `--state`, one a line, and those that are there are not made again. Leave the checkout alone
meanwhile: a run notes the revision of the code. The seed and the number of an attempt make it again. Exit status 1 if
anything else happens.
"""

import argparse
import dataclasses
import json
import os
import platform
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import small_pipeline as pipeline  # noqa: E402
from benchmarks.small_pipeline import RUN, SUBJECT  # noqa: E402
from benchmarks.tables import finish, markdown  # noqa: E402
from hashhuman.training.manifest import Manifest  # noqa: E402

PHASES = ("preprocessing", "training", "evaluation", "export")
TRIES = (1.0, 0.8, 0.6, 0.4, 0.2)  # of the planned time, where a command has ended before it


@dataclasses.dataclass(frozen=True)
class Attempt:
    """When a command is stopped, and by what."""

    seed: int
    number: int
    signal: str
    phase: str  # a command of `small_pipeline.COMMANDS`
    share: float  # of the seconds that the command takes


@dataclasses.dataclass(frozen=True)
class Start:
    """What an attempt begins with, and must end with."""

    source: Path | None  # the folder that it begins with; None: an empty one
    seconds: float  # that the uninterrupted command takes, or the part of it that is stopped
    whole: dict[str, str]  # `contents` of the folder after the uninterrupted command


def planned(kills: int, signals: int, seed: int) -> list[Attempt]:
    """All attempts, in an order in which any part of them is spread over all of it."""
    attempts, rng = [], np.random.default_rng(seed)
    for count, names in ((kills, ["SIGKILL"]), (signals, ["SIGTERM", "SIGINT"])):
        for index in range(count):
            place, of = divmod(index, len(PHASES))[0], -(-count // len(PHASES))
            phase = PHASES[index % len(PHASES)]
            name = names[place % len(names)]
            if phase == "evaluation" and place // len(names) % 2:
                phase = "evaluation again"
            share = (place + rng.random()) / of
            attempts.append(Attempt(seed, len(attempts), name, phase, share))
    return [attempts[index] for index in rng.permutation(len(attempts))]


def starts(place: Path) -> dict[str, Start]:
    """Runs every command once, without interruption. `place` is where all of them work; copies lie beside it."""
    made: dict[str, Start] = {}

    def copy(name: str) -> Path:
        pipeline.replace(place.with_name(name), place)
        return place.with_name(name)

    def whole(phase: str, source: Path | None, seconds: float | None = None) -> None:
        pipeline.replace(place, source)
        took = pipeline.finished(phase, place)
        made[phase] = Start(source, seconds or took, pipeline.contents(place))
        print(f"{phase}: {took:.1f} s without interruption", flush=True)

    whole("preprocessing", None)
    prepared = copy("prepared")
    process = pipeline.start("training", place)
    seconds = process.wait(until=lambda: (found := manifest(place)) is not None and found.trained)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    trained = copy("trained")
    whole("training", prepared, seconds)
    finished = copy("finished")
    whole("evaluation", trained)
    whole("evaluation again", finished)
    whole("export", finished)
    if changed := pipeline.differences(made["evaluation"].whole, made["training"].whole):
        raise SystemExit(f"an evaluation alone makes other files than one after training: {changed}")
    return made


def manifest(folder: Path) -> Manifest | None:
    """The manifest of the run in a folder, if it has begun."""
    return Manifest.load(folder / RUN) if (folder / RUN).is_dir() else None


def finished_files(folder: Path) -> dict[str, int]:
    """The files that no command may make again: when each was changed."""
    paths = list((folder / SUBJECT / "stages").glob("*.json"))
    if (found := manifest(folder)) is not None and found.trained:
        again = ("evaluation/strict/", "export/")  # made by commands whose only work they are
        paths += [folder / RUN / name for name in found.files if found.evaluated and not name.startswith(again)]
        paths += [folder / RUN / "checkpoints/last.ckpt"]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def catches(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM: it has begun to read its command line."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def stopped(attempt: Attempt, begin: Start, place: Path) -> pipeline.Process | None:
    """The command, ended by its signal; None if it always ended before."""
    planned = attempt.share * begin.seconds
    for part in TRIES:
        pipeline.replace(place, begin.source)
        process = pipeline.start(attempt.phase, place)
        if attempt.signal != "SIGKILL":
            process.wait(until=lambda pid=process.pid: catches(pid))
        took = process.wait(seconds=planned * part)
        if process.ended():
            planned = min(planned, attempt.share * took)  # the machine is less busy than it was at the start
        else:
            os.kill(process.pid, signal.Signals[attempt.signal])
            process.wait()
        if process.status:
            return process
    return None


def outcome(attempt: Attempt, begin: Start, place: Path) -> dict[str, Any]:
    """Makes an attempt; returns its outcome, with `fault`, which is empty where all is well."""
    process = stopped(attempt, begin, place)
    if process is None:
        return {"at": "-", "fault": "the command always ended before it was stopped"}
    faults, said, number = [], process.err.read_text(), signal.Signals[attempt.signal]
    if process.status != 128 + number:
        faults.append(f"status {process.status}: {said[-2000:]}")
    elif number != signal.SIGKILL and not (said.startswith(f"Stopped by {attempt.signal}: ") and said.count("\n") == 1):
        faults.append(f"said {said[-2000:]!r}")
    before, left = finished_files(place), manifest(place)
    at = "begun" if left is None else "trained" if left.trained else f"step {left.step}"
    again = pipeline.start(attempt.phase, place)
    again.wait()
    printed = again.out.read_text()
    if again.status:
        faults.append(f"the same command ended with {again.status}: {again.err.read_text()[-2000:]}")
    if changed := pipeline.differences(pipeline.contents(place), begin.whole):
        faults.append(f"other files: {changed}")
    after = finished_files(place)
    if repeated := [name for name, time in before.items() if after.get(name) != time]:
        faults.append(f"made again: {repeated}")
    if left is not None and left.step and not left.trained and f"going on after step {left.step} " not in printed:
        faults.append(f"did not go on after step {left.step}")
    return {"at": at, "finished": len(before), "fault": "; ".join(faults)}


def work(attempts: Sequence[Attempt], state: Path) -> None:
    """Makes attempts one after the other, and adds a line about each to `state`."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve() / "place"
        begun = starts(place)
        for attempt in attempts:
            line = dataclasses.asdict(attempt) | outcome(attempt, begun[attempt.phase], place)
            with state.open("a") as file:
                file.write(json.dumps(line) + "\n")
            seconds = attempt.share * begun[attempt.phase].seconds
            print(
                f"{attempt.number:4d} {attempt.signal:<7} {attempt.phase:<16} {seconds:5.2f} s  {line['at']:<8} "
                f"{line['fault'] or 'equal'}", flush=True,
            )  # fmt: skip


def lines_of(state: Path, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """What is known of these attempts: the last line about each."""
    wanted = {(attempt.seed, attempt.number, attempt.signal, attempt.phase, attempt.share) for attempt in attempts}
    lines = [json.loads(line) for line in state.read_text().splitlines()] if state.exists() else []
    keys = ("seed", "number", "signal", "phase", "share")
    found = {tuple(line[key] for key in keys): line for line in lines}
    return [line for key, line in found.items() if key in wanted]


def page(lines: Sequence[dict[str, Any]], command: str) -> str:
    """The table: a row for each signal and command."""
    rows = []
    for name in ("SIGKILL", "SIGTERM", "SIGINT"):
        for phase in pipeline.COMMANDS:
            some = [line for line in lines if (line["signal"], line["phase"]) == (name, phase)]
            faults = [line["fault"] for line in some]
            if some:
                equal, kept, told = (
                    len(some) - sum(any(word in fault for word in words) for fault in faults)
                    for words in (
                        ("other files", "same command", "always ended"),
                        ("made again", "did not go on"),
                        ("status", "said"),
                    )
                )
                rows.append([name, phase, str(len(some)), *map(str, (equal, kept, told))])
    total = ["all", "", *(str(sum(int(row[i]) for row in rows)) for i in range(2, 6))]
    heads = ["signal", "while", "times", "equal files", "nothing finished made again", "status and sentence"]
    machine = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"
    text = f"# Commands that were stopped\n\n`{command}`, on {machine}\n\n{markdown(heads, [*rows, total])}\n\n"
    return text + f"Compared but for what states times: {pipeline.TIMED}.\n"


def main() -> None:
    """Plans, makes what is not yet made, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--signals", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that make attempts at the same time")
    parser.add_argument("--state", type=Path, help="file of attempts that are made; else nothing is kept")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    options = parser.parse_args()
    attempts = planned(options.kills, options.signals, options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place, state = Path(temporary).resolve() / "first", options.state or Path(temporary, "state")
        made = {line["number"] for line in lines_of(state, attempts)}
        left = [attempt for attempt in attempts if attempt.number not in made]
        print(f"{len(made)} of {len(attempts)} attempts are made already", flush=True)
        if left:
            place.mkdir()
            for phase in ("preprocessing", "training", "evaluation again", "export"):
                pipeline.import_what(phase, place)
            children = []
            for worker in range(options.workers):
                if (child := os.fork()) == 0:
                    status = 1
                    try:
                        work(left[worker :: options.workers], state)
                        status = 0
                    except BaseException:
                        traceback.print_exc()
                    finally:
                        os._exit(status)
                children.append(child)
            for child in children:
                os.waitpid(child, 0)
        lines = lines_of(state, attempts)
    command = f"python benchmarks/faults.py --kills {options.kills} --signals {options.signals} --seed {options.seed}"
    for line in lines:
        if line["fault"]:
            print(json.dumps(line), file=sys.stderr)
    bad = len(lines) < len(attempts) or any(line["fault"] for line in lines)
    finish(page(lines, command), options.out, bad)


if __name__ == "__main__":
    main()
