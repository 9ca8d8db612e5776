"""Measures how long a first run on a machine compiles: seconds for each variant of each kernel. Needs no GPU.

    python benchmarks/compile.py [--repeat 3] [--out FILE.md] data=zju_mocap data.root=SCENE [overrides of train.py]

Builds the avatar of train.py, warms it up (`hashhuman.avatar.warmup`), and compiles the launched kernels for this
machine's GPU, or for an H100 if there is none. It does so with an empty cache, alternately one by one, with a line for
each variant, and in parallel, as a run does. The least time of the repetitions counts. Columns: Triton's front end in
Python, its passes, LLVM with ptxas, and the C compiler for the launcher.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import triton
from hydra import compose, initialize_config_dir
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.driver import CudaLauncher
from triton.runtime import driver

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from hashhuman.avatar.model import HashGridAvatar  # noqa: E402
from hashhuman.gpu import backend, precompile  # noqa: E402
from hashhuman.training import run  # noqa: E402

STAGES = {"ttir": "passes", "ttgir": "passes", "llir": "LLVM, ptxas", "ptx": "LLVM, ptxas", "cubin": "LLVM, ptxas"}
COLUMNS = ("Python", "passes", "LLVM, ptxas", "C")


class NoGpu(precompile.StandInDriver):
    """A driver without a GPU, with which kernels are compiled for an H100."""

    launcher_cls = CudaLauncher

    def __init__(self) -> None:
        super().__init__(GPUTarget("cuda", 90, 32))


def pretend_gpu() -> None:
    """Makes Triton compile kernels for tensors on the CPU."""
    driver.set_active(NoGpu())  # type: ignore[arg-type]
    backend.runs_on = lambda device: True


def pretend_cuda(folder: Path) -> None:
    """Makes a CUDA library in `folder` whose functions do nothing, with which launchers can be linked."""
    sources = Path(str(sys.modules[CudaLauncher.__module__].__file__)).parent
    text = "".join((sources / name).read_text() for name in ("driver.py", "driver.c"))
    names = sorted(set(re.findall(r"\bcu[A-Z]\w+", text)))
    source, library = folder / "cuda.c", folder / "libcuda.so.1"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in names))
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", source, "-o", library], check=True)
    (folder / "libcuda.so").symlink_to(library)  # the name that Triton 3.4 uses
    knobs.nvidia.libcuda_path = str(folder)
    ctypes.CDLL(str(library))  # launchers that are loaded later find the library by its name


def avatar_of(overrides: list[str]) -> HashGridAvatar:
    """The untrained avatar of a run of train.py, on the GPU if there is one."""
    train.register_resolvers()
    kernels = ["experiment=fast", "kernels=triton", "encoder=triton", "network=triton", "run_dir=."]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        module, _ = run.build(compose("train", [*kernels, *overrides]))
    return module.avatar.to("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def empty_cache() -> Iterator[None]:
    """Context with an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as folder, knobs.cache.scope():
        knobs.cache.dir = folder
        yield


def variants(avatar: HashGridAvatar) -> list[tuple[Any, Any, dict]]:
    """Source, target and options of every kernel that the dry run launches."""
    asked: list = []
    with knobs.runtime.scope():
        compiler = precompile.Compiler(lambda function, *arguments: asked.append(arguments[:3]))  # type: ignore
        knobs.runtime.jit_cache_hook = compiler
        with compiler.dry_run():
            avatar.warm_up()
    return asked


def one_by_one(asked: list[tuple[Any, Any, dict]]) -> list[dict]:
    """Seconds of each variant, by column."""
    rows = []
    with empty_cache(), knobs.compilation.scope():
        times: list = []
        active: Any = driver.active
        knobs.compilation.listener = lambda **told: times.append(told["times"])
        for source, target, options in asked:
            row = {"kernel": f"{source.fn.__module__.rpartition('.')[2]}.{source.name}", **dict.fromkeys(COLUMNS, 0.0)}
            kernel = triton.compile(source, target=target, options=options)
            row["Python"] = times[-1].ir_initialization / 1e6
            for stage, microseconds in times[-1].lowering_stages:
                row[STAGES[stage]] += microseconds / 1e6
            begun = time.perf_counter()
            active.launcher_cls(source, kernel.metadata)
            row["C"] = time.perf_counter() - begun
            rows.append(row)
    return rows


def side_by_side(avatar: HashGridAvatar) -> float:
    """Seconds for compiling all kernels in parallel, as a run does."""
    with empty_cache():
        begun = time.perf_counter()
        with precompile.precompiled(avatar.warm_up):
            pass
        return time.perf_counter() - begun


def report(rows: list[dict], together: float) -> str:
    """The table in markdown."""
    target: Any = driver.active.get_current_target()
    lines = [
        f"Seconds, for {target.backend} {target.arch}, Triton {triton.__version__}, {os.cpu_count()} processors.",
        "",
    ]
    lines += ["| kernel | " + " | ".join(COLUMNS) + " | all |", "|---" * (len(COLUMNS) + 2) + "|"]
    total = {"kernel": f"**{len(rows)}, one by one**", **{name: sum(row[name] for row in rows) for name in COLUMNS}}
    for row in [*rows, total]:
        seconds = [row[name] for name in COLUMNS]
        lines.append(f"| {row['kernel']} | " + " | ".join(f"{x:.2f}" for x in [*seconds, sum(seconds)]) + " |")
    return "\n".join([*lines, f"| **side by side** | | | | | {together:.2f} |"])


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the table here")
    parser.add_argument("overrides", nargs="+")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not torch.cuda.is_available():
            pretend_gpu()
            pretend_cuda(Path(folder))
        avatar = avatar_of(arguments.overrides)
        asked = variants(avatar)
        runs, together, alone = [], [], []
        for _ in range(arguments.repeat):
            runs.append(one_by_one(asked))
            together.append(side_by_side(avatar))
            begun = time.perf_counter()
            variants(avatar)
            alone.append(time.perf_counter() - begun)
        rows = [same[0] | {name: min(row[name] for row in same) for name in COLUMNS} for same in zip(*runs)]
        text = report(rows, min(together)) + f"\n\nSide by side includes the dry run, {min(alone):.2f} s."
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
