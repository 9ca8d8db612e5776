"""Fills a small disk at many points of what writes files: each must end in one sentence, and can be repeated.

    python benchmarks/disk_full.py [--points 8] [--out FILE.md]        # mounts a tmpfs: needs root

For each writer and each point, a tmpfs is filled up to a share of what the writer needs. The writer must then end with
one sentence that says so, and leave no half-written file behind. After space returns, the same call must make the same
files as on a disk that was never full. Exit status 1 if anything else happens.
"""

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.mutation_readers import write_video as write_clip  # noqa: E402
from benchmarks.tables import finish, markdown  # noqa: E402
from hashhuman.cli.explain import explain  # noqa: E402
from hashhuman.errors import LONGEST  # noqa: E402
from hashhuman.io import checkpoint, files, leftovers  # noqa: E402
from hashhuman.io.video import write_video  # noqa: E402
from preprocess.frames.monocular import VideoFrames  # noqa: E402
from preprocess.stage import run_stages  # noqa: E402
from tests import toy  # noqa: E402

MIB = 2**20
NOISE = np.random.default_rng(0).integers(0, 256, (12, 128, 160, 3)).astype(np.uint8)
PAGE = 4096


def stages(folder: Path, inputs: Path) -> None:
    """The first stage of preprocessing, with its stamp and subject.json."""
    run_stages([VideoFrames(str(inputs / "clip.mp4"))], folder / "subject", console=Console(file=io.StringIO()))


WRITERS: dict[str, Callable] = {
    "preprocessing: pictures of a video": stages,
    "subject folder": lambda folder, _: toy.write_subject(folder / "subject", n_frames=3),
    "checkpoint (torch)": lambda folder, _: checkpoint.AtomicCheckpointIO().save_checkpoint(
        {"state_dict": {"a": torch.arange(400_000.0)}}, folder / "checkpoints/last.ckpt"
    ),
    "array (numpy)": lambda folder, _: files.save_npy(folder / "a.npy", NOISE),
    "archive (numpy)": lambda folder, _: files.save_npz(folder / "a.npz", {"a": NOISE, "b": NOISE + 1}),
    "picture (OpenCV)": lambda folder, _: files.write_image(folder / "a.png", NOISE.reshape(-1, 160, 3)),
    "video (FFmpeg)": lambda folder, _: write_video(folder / "a.mp4", NOISE, 25),
    "JSON": lambda folder, _: files.save_json(folder / "a.json", list(range(40_000))),
}


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of `size` bytes at `folder`."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)  # an encoder that failed holds its file


def contents(folder: Path) -> dict[str, str]:
    """Each file with the hash of its content; stamps without the times in them."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "ballast"):
        data = path.read_bytes()
        if path.parent.name == "stages" and path.suffix == ".json":
            stamp = files.load_json(path)
            data = repr([{k: (v[0], v[2]) for k, v in stamp[part].items()} for part in ("inputs", "outputs")]).encode()
        if path.suffix == ".ckpt":  # torch writes the temporary file's name into the archive
            weights = {name: value.tolist() for name, value in checkpoint.load_weights(path).items()}
            data = repr(weights).encode()
        if path.name in ("subject.json", "subject.copy"):
            data = b"described"  # it names the folder
        found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest()
    return found


def at(
    writer: Callable[[Path, Path], object], inputs: Path, place: Path, free: int, whole: dict[str, str]
) -> str | None:
    """What went wrong when a writer met a disk with `free` bytes left; None: nothing."""
    with disk(place, 64 * MIB):
        ballast = place / "ballast"
        left = shutil.disk_usage(place).free - free
        ballast.write_bytes(bytes(left))
        try:
            writer(place, inputs)
            return "it did not notice"
        except Exception as error:
            said = explain(error)
            if said is None:
                return f"no sentence: {type(error).__name__}: {error}"
        if "No space left on device" not in said or len(said) > LONGEST or "\n" in said:
            return f"another sentence: {said}"
        if half := [path.name for path in place.rglob(".*.part-*")]:
            return f"left half-written: {half}"
        ballast.unlink()
        writer(place, inputs)
        leftovers.sweep(place)
        return None if contents(place) == whole else "other files after space returned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=8, help="for each writer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as temporary:
        inputs, place = Path(temporary, "inputs"), Path(temporary, "disk")
        inputs.mkdir()
        write_clip(inputs / "clip.mp4")
        for name, writer in WRITERS.items():
            with disk(place, 64 * MIB):
                before = shutil.disk_usage(place).free
                writer(place, inputs)
                needed, whole = before - shutil.disk_usage(place).free, contents(place)
            frees = [int(needed * share) // PAGE * PAGE for share in np.linspace(0, 0.95, options.points)]
            found = [(free, fault) for free in frees if (fault := at(writer, inputs, place, free, whole))]
            faults += [f"{name}, {free} bytes left: {fault}" for free, fault in found]
            rows.append([name, f"{needed / 1024:.0f}", str(len(frees)), str(len(frees) - len(found))])
            print(" | ".join(rows[-1]), flush=True)
    print("\n".join(faults), file=sys.stderr)
    total = ["all", "", *(str(sum(int(row[i]) for row in rows)) for i in (2, 3))]
    heads = ["writer", "needs (KiB)", "points", "one sentence, and the same files when space returns"]
    command = f"python benchmarks/disk_full.py --points {options.points}"
    finish(f"# Full disks\n\n`{command}`\n\n{markdown(heads, [*rows, total])}\n", options.out, bool(faults))


if __name__ == "__main__":
    main()
