"""Measures how much memory each training picture takes on the CPU, with and without a budget (`data.memory_mb`).

    python benchmarks/memory.py --out benchmarks/results/memory.md

Three folders of different size are made from a small synthetic scene (`benchmarks/larger_scene.py`). A process for each
reads the pictures as training does, draws 100 batches, and says how much of its memory is not backed by a file
(RssAnon, which the system cannot take back). Growth is the slope between the smallest and the largest folder.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402

from benchmarks.larger_scene import make  # noqa: E402
from hashhuman.data.datamodule import SubjectDataModule  # noqa: E402
from hashhuman.data.ray_sampler import RaySampler  # noqa: E402
from hashhuman.data.synthetic import SyntheticScene  # noqa: E402

BUDGETS = (4096, 8)  # MiB: all pictures here lie in memory; nearly all lie in the file
BATCHES = 100


def anonymous() -> float:
    """Memory of this process that is not backed by a file (MiB)."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def measure(folder: Path, memory_mb: int) -> dict[str, float]:
    """Reads a folder as training does; what it took."""
    shares = {"body": 0.5, "surround": 0.5, "box": 0.0, "parts": 0.0}
    sampler = RaySampler(n_rays=4096, shares=shares, n_patches=0, patch_size=32, background="random")
    data = SubjectDataModule(
        folder, None, train_cameras=[0], train_frames=None, first_frame=0, frame_step=1, holdout_every=0, test_every=1,
        test_frames=None, max_size=None, ray_sampler=sampler, batches_per_epoch=1, val_views=0, reach=0.05,
        cache_mb=0, memory_mb=memory_mb,
    )  # fmt: skip
    before = anonymous()
    data.setup("fit")
    assert data.store is not None
    for _ in range(BATCHES):
        sampler.draw(data.store)
    return {"MiB": anonymous() - before, "pixels": len(data.store.mask), "pictures": len(data.splits["train"])}


def main() -> None:
    """Makes folders, measures in processes of their own, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, nargs=3, default=(50, 100, 200))
    parser.add_argument("--size", type=int, default=512, help="side of the pictures (pixels)")
    parser.add_argument("--out", type=Path, help="the markdown file to write")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "MIB"), help="measure one folder; used by itself")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(Path(arguments.measure[0]), int(arguments.measure[1]))))
        return
    found: dict[tuple[int, int], dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        scene = Path(scratch) / "scene"
        SyntheticScene(seed=0, n_frames=4, n_novel=1, n_cameras=1, test_every=1, size=128).prepare(scene)
        for count in arguments.pictures:
            folder = Path(scratch) / str(count)
            make(scene, folder, count, arguments.size)
            for budget in BUDGETS:
                command = [sys.executable, __file__, "--measure", str(folder), str(budget)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[count, budget] = json.loads(done.stdout.splitlines()[-1])
    low, high = min(arguments.pictures), max(arguments.pictures)
    rows = [
        f"| {count} | {found[count, BUDGETS[0]]['pixels'] / 1e6:.1f} million | "
        + " | ".join(f"{found[count, budget]['MiB']:.0f} MiB" for budget in BUDGETS)
        + " |"
        for count in arguments.pictures
    ]
    growth = [(found[high, budget]["MiB"] - found[low, budget]["MiB"]) / (high - low) for budget in BUDGETS]
    text = "\n".join([
        f"`benchmarks/memory.py` on {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}: "
        f"pictures of {arguments.size} x {arguments.size} pixels, {BATCHES} batches drawn.",
        "",
        "| training pictures | pixels about the person | " + " | ".join(f"`memory_mb={b}`" for b in BUDGETS) + " |",
        "|---|---|---|---|",
        *rows,
        f"| growth a picture | | {growth[0]:.3f} MiB | {growth[1]:.3f} MiB |",
        "",
    ])  # fmt: skip
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
