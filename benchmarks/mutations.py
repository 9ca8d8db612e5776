"""Feeds every reader with files that were changed at random, and looks for whatever should not happen.

    python benchmarks/mutations.py [--inputs 2000] [--seed 0] [--readers WORD ...] [--out FILE.md]

Each input is a whole file of `mutation_readers.py` with one to three changes. It is read in a forked process, in which
an audit hook notes what is written outside the input's folder, every program that is started and every connection. What
is looked for: an error other than the one sentence (`UserError`), a sentence of several lines or more than 300
characters, more than 5 seconds, more than 1 GiB of memory, files outside, programs, and crashes. The seed, the reader
and the number of an input make it again. Exit status 1 if anything was found.
"""

import argparse
import faulthandler
import functools
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.mutation_readers import READERS, Reader  # noqa: E402
from benchmarks.tables import finish, markdown  # noqa: E402
from hashhuman.errors import LONGEST, UserError  # noqa: E402

SECONDS, MEMORY, HANG = 5.0, 2**30, 60
BATCH = 50
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
WORDS = [
    b"null", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"9" * 400, b"9" * 5000, b"[]", b"{}", b'""', b"true",
    b'"' + b"x" * 2000 + b'"', b"[" * 2000, b"{\"a\":" * 2000, b"../../x", b"/etc/x", b"${oc.env:HOME}", b"\xff\xfe",
    b"&a [*a,*a]", b"*a", b"!!python/object/apply:os.getcwd []", b"<!DOCTYPE a [<!ENTITY b 'b'>]>", b"os.getcwd",
    b"\x1b[2J", b"\0",
]  # fmt: skip

VALUES = [
    None, True, False, 0, -1, 3, 2**31, 2**63, 10**400, 1e308, -1e308, 0.5, float("nan"), float("inf"), "", "x", "0",
    "x" * 2000, "../../x", "/etc/x", "os.getcwd", "${oc.env:HOME}", "\x1b[2J\n", [], {}, [[]], [0], [0] * 1000, {"": 0},
    [[0, 1], [2]], {"_target_": "os.getcwd"}, functools.reduce(lambda inner, _: [inner], range(90), []),
]  # fmt: skip


def changed_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """A change that knows nothing of the format."""
    place = int(rng.integers(0, len(data) + 1))
    length = int(rng.choice([1, 2, 4, 8, 64, 512]))
    match int(rng.choice([0, *range(1, 8), *range(1, 8)])):
        case 0:
            return data[:place]
        case 1:
            return data[:place] + rng.integers(0, 256, length, np.uint8).tobytes() + data[place:]
        case 2:
            return data[:place] + data[place + length :]
        case 3:
            return data[:place] + bytes([int(rng.choice([0, 255, 127, 128]))]) * length + data[place + length :]
        case 4:
            return data[:place] + data[max(0, place - length) : place] * int(rng.integers(2, 40)) + data[place:]
        case 5:
            bits = bytearray(data)
            for index in rng.integers(0, max(len(data), 1), 8) if data else ():
                bits[index] ^= 1 << int(rng.integers(0, 8))
            return bytes(bits)
        case 6:
            value = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 65535]))
            return data[:place] + value.to_bytes(4, rng.choice(["little", "big"])) + data[place + 4 :]
        case _:
            other = int(rng.integers(0, len(data) + 1))
            return data[:place] + data[other : other + length] + data[place + length :]


def changed_text(data: bytes, rng: np.random.Generator) -> bytes:
    """A change of a number, a word or a bracket."""
    tokens = [m.span() for m in re.finditer(rb"-?\d[\d.e+-]*|\w+|[\[\]{}<>:,\"]", data)]
    if not tokens:
        return data + WORDS[int(rng.integers(len(WORDS)))]
    start, end = tokens[int(rng.integers(len(tokens)))]
    match int(rng.integers(0, 5)):
        case 0:
            return data[:start] + data[end:]
        case 1:
            a, b = tokens[int(rng.integers(len(tokens)))]
            return data[:start] + data[a:b] + data[end:]
        case 2:
            a, b = sorted((start, tokens[int(rng.integers(len(tokens)))][0]))
            return data[:b] + data[a:b] + data[b:]
        case _:
            return data[:start] + WORDS[int(rng.integers(len(WORDS)))] + data[end:]


def changed_tree(data: bytes, rng: np.random.Generator) -> bytes:
    """A change of one value of a JSON file, which stays JSON."""
    tree = {"": json.loads(data)}
    containers: list[Any] = [tree]
    for container in containers:  # grows meanwhile
        inside = container.values() if isinstance(container, dict) else container
        containers += [value for value in inside if isinstance(value, dict | list) and value]
    container = containers[int(rng.integers(len(containers)))]
    keys = list(container) if isinstance(container, dict) else range(len(container))
    key = keys[int(rng.integers(len(keys)))]
    if rng.random() < 0.2 and container is not tree:
        del container[key]
    elif rng.random() < 0.2 and isinstance(container, list):
        container *= 3
    else:
        container[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(tree[""]).encode()


def changed_member(data: bytes, rng: np.random.Generator) -> bytes:
    """A change of one file in an archive, which stays an archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        chosen = int(rng.integers(len(old.infolist())))
        for index, entry in enumerate(old.infolist()):
            content = old.read(entry)
            new.writestr(entry, changed_bytes(content, rng) if index == chosen else content)
    return packed.getvalue()


def mutated(data: bytes, text: bool, rng: np.random.Generator) -> bytes:
    """A file with one to three changes, most of which keep its outer form, so that inner readers see them."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        change = changed_text if text and rng.random() < 0.7 else changed_bytes
        if rng.random() < 0.7 and data[:1] in (b"{", b"["):
            change = changed_tree
        if rng.random() < 0.7 and data[:2] == b"PK":
            change = changed_member
        try:
            data = change(data, rng)
        except (ValueError, RuntimeError, zipfile.BadZipFile, EOFError, zlib.error):  # the outer form is gone already
            data = changed_bytes(data, rng)
    return data


def watch(inside: Path, noted: list[str]) -> None:
    """Notes what this process writes outside a folder, and what it starts, from now on."""

    def outside(path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        place = os.path.realpath(os.fsdecode(path))
        return not place.startswith((f"{inside}/", "/dev/", "/proc/")) and place != str(inside)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in (mode or "") for letter in "wax+") or (mode is None and flags & WRITING)
            if writes and outside(path):
                noted.append(f"wrote {path}")
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod") and outside(arguments[0]):
            noted.append(f"{event} {arguments[0]}")
        elif event in ("os.rename", "os.link", "os.symlink") and (outside(arguments[0]) or outside(arguments[1])):
            noted.append(f"{event} {arguments[:2]}")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "pty.spawn", "socket.connect"):
            noted.append(f"{event} {arguments[:1]}")

    sys.addaudithook(hook)


def attempt(reader: Reader, path: Path, noted: list[str]) -> dict[str, Any]:
    """Reads one input, and says what happened."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    noted.clear()
    fault, outcome = None, "read"
    signal.alarm(HANG)
    try:
        reader.read(path)
    except UserError as error:
        outcome, said = "refused", str(error)
        if "\n" in said or len(said) > LONGEST or not said.isprintable():
            fault = f"sentence: {said[:500]!r}"
    except Exception:
        outcome, fault = "fault", traceback.format_exc(limit=-4)
    finally:
        signal.alarm(0)
    seconds = time.monotonic() - start
    memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if seconds > SECONDS:
        fault = fault or f"{seconds:.1f} s"
    if memory > MEMORY + path.stat().st_size:
        fault = fault or f"{memory / 2**20:.0f} MiB"
    if noted:
        fault = fault or "; ".join(noted)
    return {"outcome": outcome, "fault": fault, "seconds": seconds, "memory": memory}


def batch(reader: Reader, number: int, seeds: Sequence[int], seed: int, folder: Path, report: Path) -> None:
    """Reads some inputs in this process, and writes a line about each."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    noted: list[str] = []
    (folder / "input").mkdir(parents=True)
    paths = reader.prepare(folder / "input")
    pure = {path: path.read_bytes() for path in paths}
    for path in paths:
        reader.read(path)  # whole: it must be read, and what it needs is imported
    os.chdir(folder)
    watch(folder / "input", noted)
    with report.open("a") as lines:
        for index in seeds:
            rng = np.random.default_rng([seed, number, index])
            path = paths[int(rng.integers(len(paths)))]
            path.write_bytes(mutated(pure[path], reader.text, rng))
            lines.write(json.dumps({"index": index, "began": True}) + "\n")
            lines.flush()
            lines.write(json.dumps({"index": index, "file": path.name, **attempt(reader, path, noted)}) + "\n")
            lines.flush()
            path.write_bytes(pure[path])


def in_child(work: Callable[[], None], report: Path) -> int:
    """Runs `work` in a forked process; returns how it ended: 0, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open(report.with_suffix(".err"), "w") as errors:
                os.dup2(errors.fileno(), 2)
                os.dup2(errors.fileno(), 1)
                try:
                    work()
                    status = 0
                except BaseException:
                    traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attack(reader: Reader, number: int, count: int, seed: int, scratch: Path) -> list[dict[str, Any]]:
    """The outcome of every input of one reader. A batch that ends early continues after the input that ended it."""
    done: list[dict[str, Any]] = []
    left = list(range(count))
    while left:
        report, folder = scratch / "report", scratch / "batch"
        report.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        mine = left[:BATCH]
        status = in_child(functools.partial(batch, reader, number, mine, seed, folder, report), report)
        lines = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
        found = {line["index"]: line for line in lines if "outcome" in line}
        began = [line["index"] for line in lines if "began" in line and line["index"] not in found]
        if status and not began and len(found) < len(mine):
            raise RuntimeError(f"{reader.name}: {report.with_suffix('.err').read_text()[-3000:]}")
        for index in began:
            fault = f"ended the process ({status}): {report.with_suffix('.err').read_text()[-1500:]}"
            found[index] = {"index": index, "outcome": "fault", "fault": fault, "seconds": 0.0, "memory": 0}
        done += found.values()
        left = [index for index in left if index not in found]
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--readers", nargs="*", help="only those whose names hold one of these words")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    weight = sum(reader.weight for reader in READERS)
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for number, reader in enumerate(READERS):
            if options.readers and not any(word in reader.name for word in options.readers):
                continue
            count = round(options.inputs * reader.weight / weight)
            outcomes = attack(reader, number, count, options.seed, Path(temporary).resolve())
            bad = [outcome for outcome in outcomes if outcome["fault"]]
            faults += [{"reader": reader.name, **outcome} for outcome in bad]
            slowest = max(outcome["seconds"] for outcome in outcomes)
            most = max(outcome["memory"] for outcome in outcomes) / 2**20
            counts = [sum(o["outcome"] == word for o in outcomes) for word in ("read", "refused")]
            rows.append([reader.name, str(count), *map(str, counts), str(len(bad)), f"{slowest:.2f}", f"{most:.0f}"])
            print(" | ".join(rows[-1]), flush=True)
    for fault in faults:
        print(json.dumps(fault, indent=1).replace("\\n", "\n"), file=sys.stderr)
    columns = [sum(int(row[i]) for row in rows) for i in range(1, 5)]
    total = ["all", *map(str, columns), *(str(max(float(row[i]) for row in rows)) for i in (5, 6))]
    heads = ["reader", "inputs", "read", "refused in one sentence", "faults", "slowest (s)", "most memory (MiB)"]
    command = f"python benchmarks/mutations.py --inputs {options.inputs} --seed {options.seed}"
    title = f"# Changed files\n\n`{command}`, on {len(os.sched_getaffinity(0))} cores"
    finish(f"{title}\n\n{markdown(heads, [*rows, total])}\n", options.out, bool(faults))


if __name__ == "__main__":
    main()
