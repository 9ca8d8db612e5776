"""Measures samples per second of hash grid and network, `encoder=triton network=triton`, on this machine's GPU.

    python benchmarks/kernels.py [--out FOLDER] [--sweep]

One grid (F=2, T=2^19, 16 levels, base 16, scale 1.38) and one network (64 wide, two hidden layers, 16 outputs) at 2^18
and 2^20 uniformly random positions, four sets in turn. Times are medians by CUDA events: `graph` replays a captured
pass, as training does, and `eager` calls it from Python. Errors are relative to PyTorch in float64. `--sweep` instead
tries all launch options of the kernels and reports the fastest ones. FOLDER gets kernels_DEVICE.json and .md.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.tables import markdown
from hashhuman.encoder import triton_grid
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.encoder.triton_grid import TritonHashGrids
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network import triton_mlp
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.network.triton_mlp import TritonMLPs

SPEC = HashGridSpec(n_levels=16, features_per_level=2, log2_hashmap_size=19, base_resolution=16, per_level_scale=1.38)
SIZES = (1 << 18, 1 << 20)
DEVICE = "cuda"
SETS = 4  # sets of inputs used in turn, so that they do not stay in a cache
# tiny-cuda-nn through its PyTorch module in half precision, G samples/s on an H100 at 2^18 and 2^20.
TINY_CUDA_NN = {
    ("grid", "forward"): (1.22, 1.45),
    ("grid + network", "forward"): (1.19, 1.41),
    ("grid + network", "forward, backward"): (0.24, 0.30),
    ("grid + network", "and input gradients"): (0.17, 0.20),
}
PASSES = ("forward", "forward, backward", "and input gradients")
PRECISIONS: dict[str, tuple[triton_grid.Dtype, triton_mlp.Precision]] = {
    "float32 table, tf32": ("float32", "tf32"),
    "float16 table, float16": ("float16", "float16"),
}

Step = Callable[[int], object]  # a pass through a module with the i-th set of inputs


class Field(nn.Module):
    """A grid and a network."""

    grid: TritonHashGrids
    network: TritonMLPs

    def __init__(self, grid: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.grid, self.network = grid, network  # type: ignore[assignment]

    def forward(self, x: Tensor, rows: PartRows) -> Tensor:
        """The network's output at positions."""
        return self.network(self.grid(x, rows), rows)


def made(table: triton_grid.Dtype, precision: triton_mlp.Precision) -> Field:
    """Grid and network on the GPU, with table entries as large as trained ones."""
    torch.manual_seed(0)
    field = Field(
        TritonHashGrids([SPEC], table_dtype=table), TritonMLPs(1, SPEC.n_features, 64, 2, 16, precision=precision)
    )
    nn.init.uniform_(field.grid.table, -0.5, 0.5)
    return field.to(DEVICE)


def steps(module: nn.Module, inputs: list[Tensor], n_out: int, rows: PartRows) -> dict[str, Step]:
    """The passes through a module that are timed, by name."""
    parameters = list(module.parameters())
    upstream = [torch.randn(n_out, rows.total, device=DEVICE).t() for _ in inputs]
    leaves = [x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for x in inputs]

    def forward(i: int) -> Tensor:
        with torch.no_grad():
            return module(inputs[i], rows)

    def backward(i: int) -> tuple[Tensor, ...]:
        return torch.autograd.grad(module(inputs[i], rows), parameters, upstream[i])

    def input_gradients(i: int) -> tuple[Tensor, ...]:
        return torch.autograd.grad(module(leaves[i], rows), [*parameters, leaves[i]], upstream[i])

    return dict(zip(PASSES, (forward, backward, input_gradients)))


def milliseconds(run: Callable[[], object], calls: int, repeats: int = 15) -> float:
    """Median milliseconds of one of the `calls` that `run` makes, by CUDA events, after two runs for warm-up."""
    times = []
    for repeat in range(repeats + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        if repeat >= 2:
            times.append(start.elapsed_time(end) / calls)
    return statistics.median(times)


def eager_ms(step: Step, rounds: int = 3) -> float:
    """Milliseconds of a step that Python launches."""
    return milliseconds(lambda: [step(i) for _ in range(rounds) for i in range(SETS)], SETS * rounds)


def graph_ms(step: Step) -> float:
    """Milliseconds of a step that is replayed as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for i in range(SETS):
            step(i)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(SETS):
            step(i)
    return milliseconds(graph.replay, SETS)


def positions(rows: PartRows) -> list[Tensor]:
    """Sets of random positions."""
    return [torch.rand(rows.total, 3, device=DEVICE) for _ in range(SETS)]


def throughput() -> list[dict]:
    """Samples per second of every module, pass, size and precision."""
    found = []
    for name, precision in PRECISIONS.items():
        field = made(*precision)
        for size in SIZES:
            rows = PartRows.all_used([size], DEVICE)
            x = positions(rows)
            features = [field.grid(one, rows).detach() for one in x]
            modules = {
                "grid": (field.grid, x, SPEC.n_features),
                "network": (field.network, features, 16),
                "grid + network": (field, x, 16),
            }
            for module, (timed, inputs, n_out) in modules.items():
                for passed, step in steps(timed, inputs, n_out, rows).items():
                    graph, eager = graph_ms(step), eager_ms(step)
                    row = {"precision": name, "module": module, "pass": passed, "samples": size}
                    row |= {"graph_ms": graph, "eager_ms": eager, "samples_per_s": size / graph * 1e3}
                    found.append(row)
                    print(
                        f"{name} | {module} | {passed} | 2^{size.bit_length() - 1} | {graph:.3f} | {eager:.3f}",
                        flush=True,
                    )
    return found


def kernel_times(size: int = SIZES[-1]) -> list[dict]:
    """The time of each kernel of a pass with input gradients."""
    found = []
    rows = PartRows.all_used([size], DEVICE)
    for name, precision in PRECISIONS.items():
        step = steps(made(*precision), positions(rows), 16, rows)["and input gradients"]
        for i in range(SETS):
            step(i)
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for i in range(SETS):
                step(i)
            torch.cuda.synchronize()
        for event in profile.key_averages():
            if event.device_time_total:
                each = {
                    "kernel": event.key[:60],
                    "ms": event.device_time_total / 1e3 / SETS,
                    "calls": event.count / SETS,
                }
                found.append({"precision": name, **each})
    return sorted(found, key=lambda row: (row["precision"], -row["ms"]))


def errors(size: int = 1 << 16) -> list[dict]:
    """Relative errors |a - b| / |b| of outputs and gradients against float64, also of PyTorch in float32."""
    rows = PartRows.all_used([size], DEVICE)
    x = torch.rand(size, 3, device=DEVICE)
    upstream = torch.randn(size, 16, device=DEVICE)

    def pull(field: Field, dtype: torch.dtype) -> dict[str, Tensor]:
        leaf = x.to(dtype).requires_grad_()
        out = field(leaf, rows)
        gradients = torch.autograd.grad(out, [leaf, *field.parameters()], upstream.to(dtype))
        names = ["positions", *(name for name, _ in field.named_parameters())]
        return {"output": out.detach()} | {f"gradient of {name}": value for name, value in zip(names, gradients)}

    plain = Field(TorchHashGrids([SPEC]), TorchMLPs(1, SPEC.n_features, 64, 2, 16)).to(DEVICE)
    plain.load_state_dict(made("float32", "ieee").state_dict())
    results = {"PyTorch, float32": pull(plain, torch.float32)}
    for name, precision in {"float32 table, ieee": ("float32", "ieee"), **PRECISIONS}.items():
        results[name] = pull(made(*precision), torch.float32)
    exact = pull(plain.double(), torch.float64)
    return [
        {"precision": name, **{key: float((values[key] - exact[key]).norm() / exact[key].norm()) for key in exact}}
        for name, values in results.items()
    ]


def sweep(size: int = SIZES[-1]) -> list[dict]:
    """Times of all launch options of each kernel, without those for which the GPU's resources do not suffice."""
    rows = PartRows.all_used([size], DEVICE)
    x = positions(rows)
    found = []

    def tried(kernel: str, variants: Iterable[tuple[dict, nn.Module, list[Tensor], int, str]]) -> None:
        for options, module, inputs, n_out, passed in variants:
            try:
                ms = graph_ms(steps(module, inputs, n_out, rows)[passed])
            except Exception as error:  # a variant may need more registers or memory than the GPU has
                print(f"{kernel} {options}: {type(error).__name__}: {str(error)[:150]}", flush=True)
                torch.cuda.synchronize()
                continue
            found.append({"kernel": kernel, "pass": passed, **options, "ms": ms})
            print(f"{kernel} | {passed} | {options} | {ms:.3f}", flush=True)

    def grid_reads():
        for table, n_bytes, warps in itertools.product(("float32", "float16"), (4, 8, 16), (1, 2, 4)):
            if table == "float32" and n_bytes == 4:
                continue  # an entry has eight bytes
            grid = made(table, "tf32").grid
            grid.tuning = triton_grid.Tuning(warps, n_bytes, 16)
            yield {"table": table, "read_bytes": n_bytes, "warps": warps}, grid, x, SPEC.n_features, "forward"

    def grid_adds():
        for passed in PASSES[1:]:
            for dtype, n_bytes, warps in itertools.product(("float32", "float16"), (4, 8, 16), (2, 4)):
                if dtype == "float32" and n_bytes == 4:
                    continue
                grid = made("float32", "tf32").grid
                grid.gradient_dtype = getattr(torch, dtype)
                grid.tuning = triton_grid.Tuning(warps, 16, n_bytes)
                yield {"gradient": dtype, "add_bytes": n_bytes, "warps": warps}, grid, x, SPEC.n_features, passed

    features = [made("float32", "tf32").grid(one, rows).detach() for one in x]

    def network_passes(passed: str, attribute: str, stages: tuple[int, ...], programs: tuple[int, ...]):
        shapes = ((64, 4), (64, 8), (128, 8))
        for precision, (block, warps), n_stages in itertools.product(("tf32", "float16"), shapes, stages):
            for n_programs in programs:
                network = made("float32", precision).network
                tuning = triton_mlp.Tuning(block, warps, n_stages, n_programs)
                setattr(network, attribute, tuning)
                yield {"precision": precision, **dataclasses.asdict(tuning)}, network, features, 16, passed

    tried("grid forward", grid_reads())
    tried("network forward", network_passes("forward", "forward_tuning", (2, 3), (1, 2, 3, 4)))
    tried("grid backward", grid_adds())
    tried("network backward", network_passes("and input gradients", "backward_tuning", (1, 2, 3), (1, 2, 3)))
    return found


def best(found: list[dict]) -> list[dict]:
    """The fastest launch options of each kernel, pass and precision."""

    def case(row: dict) -> tuple:
        return (row["kernel"], row["pass"], row.get("table") or row.get("gradient") or row["precision"])

    return [min(rows, key=lambda row: row["ms"]) for _, rows in itertools.groupby(sorted(found, key=case), case)]


def throughput_table(found: list[dict]) -> str:
    """A markdown table with a row for each module and pass, and columns for sizes and precisions."""
    heads = [f"2^{size.bit_length() - 1}, {name}" for size in SIZES for name in PRECISIONS]
    lines = []
    at = {(row["module"], row["pass"], row["samples"], row["precision"]): row for row in found}
    for module, passed in dict.fromkeys((row["module"], row["pass"]) for row in found):
        cells = [at[module, passed, size, name]["samples_per_s"] / 1e9 for size in SIZES for name in PRECISIONS]
        theirs = " / ".join(f"{value:.2f}" for value in TINY_CUDA_NN.get((module, passed), ()))
        lines.append([f"{module}, {passed}", *(f"{cell:.2f}" for cell in cells), theirs or "-"])
    return markdown(["", *heads, "tiny-cuda-nn, half"], lines)


def table(rows: list[dict]) -> str:
    """A markdown table of rows that have the same keys."""
    lines = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    return markdown(list(rows[0]), lines)


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--sweep", action="store_true", help="try all launch options of the kernels")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name()
    print(f"{device}, torch {torch.__version__}", flush=True)
    if arguments.sweep:
        report: dict = {"sweep": sweep()}
        by_kernel = itertools.groupby(best(report["sweep"]), lambda row: row["kernel"])
        text = ["The fastest launch options at 2^20 samples:", *(table(list(rows)) for _, rows in by_kernel)]
    else:
        report = {"throughput": throughput(), "kernels": kernel_times(), "errors": errors()}
        text = ["G samples/s:", throughput_table(report["throughput"])]
        text += ["A pass with input gradients, 2^20 samples:", table(report["kernels"])]
        text += ["Relative errors:", table(report["errors"])]
    page = "\n\n".join([f"# Kernels on one {device}, torch {torch.__version__}", *text]) + "\n"
    print(page)
    name = "kernels_" + ("sweep_" if arguments.sweep else "") + device.lower().replace("nvidia ", "").split()[0]
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.out / f"{name}.md").write_text(page)


if __name__ == "__main__":
    main()
