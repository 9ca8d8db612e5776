"""Other people's engines beside our own: tiny-cuda-nn's hash grids and pytorch3d's neighbours, as installed here.

    python benchmarks/engines.py grid                      samples a second through one hash grid
    python benchmarks/engines.py encoders SCENE ...        training with each encoder: equal steps, then equal seconds
    python benchmarks/engines.py neighbors SCENE ...       training with each exact neighbour search, equal steps

A scene is as for speed.py, and what follows `--` goes to train.py. tiny-cuda-nn and pytorch3d cannot be captured as
CUDA graphs, so their steps are launched kernel by kernel; `encoder=triton` runs both ways. Engines run in turn in one
process. Rows are kept in results/engines_DEVICE.json, from which results/engines_DEVICE.md is written.
"""

import argparse
import importlib.metadata
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.speed import QUICK, train_here  # noqa: E402
from benchmarks.tables import Book, Row, reproducible  # noqa: E402
from hashhuman.encoder.spec import HashGridSpec  # noqa: E402
from hashhuman.encoder.tinycudann_grid import TinyCudaHashGrids  # noqa: E402
from hashhuman.encoder.triton_grid import TritonHashGrids  # noqa: E402
from hashhuman.gpu.part_rows import PartRows  # noqa: E402

TITLES = {
    "grid": "One hash grid: billions of samples a second, launched by the host",
    "encoders": "Training with each encoder",
    "neighbors": "Training with each exact neighbour search",
}
SPEC = HashGridSpec(n_levels=16, features_per_level=2, log2_hashmap_size=19, base_resolution=16, per_level_scale=1.38)
SIZES = (1 << 18, 1 << 20)
REPEATS = 30
ENCODERS = {
    "triton, graph": ["encoder=triton", "step=graph"],
    "triton": ["encoder=triton", "step=eager"],
    "tinycudann": ["encoder=tinycudann", "step=auto"],
}
SEARCHES = {
    "brute": ["neighbors=brute", "step=auto"],
    "pytorch3d": ["neighbors=pytorch3d", "neighbors.max_points=4000", "step=auto"],
}


def grid(arguments: argparse.Namespace) -> Iterator[Row]:
    """Forward, forward and backward, and with gradients of the positions."""
    engines = {
        "triton, float32 table": TritonHashGrids([SPEC]),
        "triton, float16 table": TritonHashGrids([SPEC], table_dtype="float16", gradient_dtype="float16"),
        f"tinycudann {version('tinycudann')}": TinyCudaHashGrids([SPEC]),
    }
    for name, module in engines.items():
        module = module.cuda()
        row: Row = {"scene": "-", "engine": name, "device": torch.cuda.get_device_name()}
        for size in SIZES:
            inputs = [torch.rand(size, 3, device="cuda") for _ in range(4)]
            rows = PartRows.all_used([size], "cuda")
            upstream = torch.randn(size, SPEC.n_features, device="cuda")

            def forward(i: int, module=module, inputs=inputs, rows=rows) -> torch.Tensor:
                with torch.no_grad():
                    return module(inputs[i % 4], rows)

            def backward(i: int, module=module, inputs=inputs, rows=rows, upstream=upstream) -> None:
                module.zero_grad(set_to_none=True)
                module(inputs[i % 4], rows).backward(upstream)

            def with_positions(i: int, module=module, inputs=inputs, rows=rows, upstream=upstream) -> None:
                module.zero_grad(set_to_none=True)
                module(inputs[i % 4].detach().requires_grad_(), rows).backward(upstream)

            passes = {"forward": forward, "and backward": backward, "and to positions": with_positions}
            for what, work in passes.items():
                row[f"{what}, 2^{size.bit_length() - 1}"] = size / seconds(work) / 1e9
        yield row


def seconds(work: Callable[[int], object]) -> float:
    """The median time of a call, by CUDA events."""
    times = []
    for i in range(REPEATS + 5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work(i)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return statistics.median(times[5:])


def encoders(arguments: argparse.Namespace) -> Iterator[Row]:
    """Each encoder for as many steps, then for as many seconds."""
    for scene in arguments.scenes:
        for limit in (f"trainer.max_steps={arguments.steps}", f"budget_s={arguments.budget:g}"):
            for name, options in ENCODERS.items():
                options = [*options, *arguments.overrides]
                yield trained(scene, name, limit, options, {"tinycudann": version("tinycudann")})


def neighbors(arguments: argparse.Namespace) -> Iterator[Row]:
    """Each search for as many steps, with several seeds."""
    for scene in arguments.scenes:
        for seed in range(arguments.seeds):
            limit = f"trainer.max_steps={arguments.steps}"
            for name, options in SEARCHES.items():
                options = [*options, f"seed={seed}", *arguments.overrides]
                row = trained(scene, name, limit, options, {"pytorch3d": version("pytorch3d")})
                yield {"seed": seed} | row


def trained(scene: Path, name: str, limit: str, options: list[str], versions: dict[str, str]) -> Row:
    """A row of one training."""
    result = train_here(scene, [limit, *options, *QUICK])
    row: Row = {"engine": f"{name} {versions[name]}" if name in versions else name, "limit": limit}
    row["ms_a_step"] = 1000 * result["train_s"] / result["steps"]
    return row | {key: value for key, value in result.items() if not key.endswith("_s") or key == "train_s"}


def version(package: str) -> str:
    """The installed version of a package, under whatever name it was distributed."""
    names = importlib.metadata.packages_distributions().get(package)
    return importlib.metadata.version(names[0]) if names else "of unknown version"


def main() -> None:
    """Measures one part and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=TITLES)
    parser.add_argument("scenes", nargs="*", type=lambda text: Path(text).resolve())
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--budget", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known, argparse.Namespace(overrides=overrides))
    rows = []
    for row in globals()[arguments.part](arguments):
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    print(Book("engines", TITLES, arguments.results).keep(arguments.part, reproducible(sys.argv[1:]), rows))


if __name__ == "__main__":
    main()
