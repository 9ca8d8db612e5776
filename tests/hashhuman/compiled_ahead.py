"""Compiles three small kernels as `precompiled` does, and prints the results as JSON.

`python -m tests.hashhuman.compiled_ahead` needs no GPU. It runs in a separate process, since Triton must not be
interpreted here.
"""

import json
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import no_type_check

import torch
import triton
import triton.language as tl
from triton import knobs
from triton.compiler import CompilationError

from benchmarks.compile import empty_cache, pretend_cuda, pretend_gpu
from hashhuman.gpu.precompile import precompiled


@triton.jit
@no_type_check
def double(x, y, N: tl.constexpr):
    place = tl.arange(0, N)
    tl.store(y + place, 2 * tl.load(x + place))


@triton.jit
@no_type_check
def broken(x):
    tl.static_assert(False, "this cannot be compiled")


X = torch.arange(64.0)
HERE = threading.current_thread()


def warm_up() -> None:
    """Launches two variants, one of them twice."""
    for n in (16, 32, 16):
        double[(1,)](X, X, N=n)


def compile_as_launched(n: int) -> None:
    """The part of a launch that compiles the kernel."""
    double.warmup(X, X, N=n, grid=(1,))


def kept() -> dict[str, bytes]:
    """The compiled kernels in the cache, by path."""
    folder = Path(knobs.cache.dir)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.cubin")}


def fails(action: Callable[[], object]) -> bool:
    """Whether the compiler refuses."""
    try:
        action()
    except CompilationError:
        return True
    return False


def refused() -> dict[str, bool]:
    """When an error of the compiler is raised."""
    shown = {}

    def run() -> None:
        with precompiled(lambda: broken[(1,)](X)):
            shown["at the launch"] = fails(lambda: broken.warmup(X, grid=(1,)))

    return {"at the end": fails(run), **shown}


def main() -> None:
    """Compiles the kernels ahead, then the same ones one by one."""
    found: list[bool] = []

    def listen(*, cache_hit: bool, **_: object) -> None:
        if threading.current_thread() is HERE:
            found.append(cache_hit)

    knobs.compilation.listener = listen
    with empty_cache():
        with precompiled(warm_up):
            told = {"compiled in the dry run": len(found)}
            for n in (16, 32, 64):
                compile_as_launched(n)
        ahead, launchers = kept(), len(list(Path(knobs.cache.dir).rglob("__triton_launcher*.so")))
    double.device_caches.clear()
    with empty_cache():
        for n in (16, 32, 64):
            compile_as_launched(n)
        alone = kept()
    told |= {"found compiled": found[:3], "launchers": launchers, "kernels": len(ahead), "alike": ahead == alone}
    print(json.dumps(told | {"refused": refused(), "hook left": knobs.runtime.jit_cache_hook is not None}))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as library:
        pretend_gpu()
        pretend_cuda(Path(library))
        main()
