"""The tables of the kernels' benchmark; the measurements need a GPU."""

import pytest
import torch

from benchmarks import kernels
from hashhuman.encoder.spec import HashGridSpec


def row(module: str, passed: str, samples: int, precision: str, rate: float) -> dict:
    return {"module": module, "pass": passed, "samples": samples, "precision": precision, "samples_per_s": rate}


def test_the_table_includes_tiny_cuda_nn():
    found = [
        row(module, "forward", samples, precision, 1e9 * (2 + i) + samples)
        for module in ("grid", "network")
        for samples in kernels.SIZES
        for i, precision in enumerate(kernels.PRECISIONS)
    ]
    lines = kernels.throughput_table(found).splitlines()
    assert lines[0].startswith("| | 2^18, float32 table, tf32 | 2^18, float16 table, float16 | 2^20")
    assert lines[2] == "| grid, forward | 2.00 | 3.00 | 2.00 | 3.00 | 1.22 / 1.45 |"
    assert lines[3] == "| network, forward | 2.00 | 3.00 | 2.00 | 3.00 | - |"
    assert len(lines) == 4


def test_the_fastest_options_of_each_case():
    found = [
        {"kernel": "grid forward", "pass": "forward", "table": table, "warps": warps, "ms": ms}
        for table, warps, ms in (("float16", 2, 0.3), ("float32", 2, 0.5), ("float16", 4, 0.2), ("float32", 4, 0.6))
    ]
    assert [(x["table"], x["warps"]) for x in kernels.best(found)] == [("float16", 4), ("float32", 2)]
    assert kernels.table(kernels.best(found)).splitlines()[2] == "| grid forward | forward | float16 | 4 | 0.2 |"


def test_errors_are_relative_to_float64(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "SPEC", HashGridSpec(2, 2, 6, 3, 2.0))
    monkeypatch.setattr(kernels, "DEVICE", "cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(kernels, "PRECISIONS", {"float16 table, tf32": ("float16", "tf32")})
    exact, triton, halves = kernels.errors(128)
    assert [case.pop("precision") for case in (exact, triton, halves)][1:] == [
        "float32 table, ieee",
        *kernels.PRECISIONS,
    ]
    assert {
        "output",
        "gradient of positions",
        "gradient of grid.table",
        "gradient of network.biases.2",
    } <= halves.keys()
    assert all(0 < value < 1e-5 for case in (exact, triton) for value in case.values())
    assert 1e-6 < halves["output"] < 1e-2


@pytest.mark.gpu
def test_throughput_and_kernel_times(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "SIZES", (1 << 12,))
    found = kernels.throughput()
    assert len(found) == 18 and all(x["graph_ms"] > 0 for x in found)
    assert all(value < 1e-2 for case in kernels.errors(1 << 12) for key, value in case.items() if key == "output")
    torch.cuda.synchronize()
