"""The tables of two GPUs, and the processes that measure them."""

import subprocess
import sys

import pytest

from benchmarks import two_gpus


def test_steps_are_compared_with_those_of_one_gpu_and_equally_many_rays():
    rows = [
        {"gpus": "1", "rays": 10, "steps_a_second": 200.0, "touched": 0.25, "shapes": [[4, 2]]},
        {"gpus": "1", "rays": 40, "steps_a_second": 50.0, "touched": None, "shapes": [[4, 2]]},
        {"gpus": "2", "rays": 40, "steps_a_second": 80.0, "touched": 0.5, "shapes": [[4, 2]]},
        {"sum": "float32", "ms": 0.5, "mb": 2.0},
    ]
    lines = two_gpus.page(rows).splitlines()
    assert "| 2 | 40 | 80.00 | 1.60 | 12.50 |" in lines and "| 1 | 40 | 50.00 | 1.00 | 20.00 |" in lines
    assert "| 2 | 40 | 0.50 |" in lines and "| float32 | 0.50 | 2.00 |" in lines
    assert not any("shapes" in line for line in lines)


@pytest.mark.parametrize(("program", "fine"), [("pass", True), ("raise SystemExit(3)", False), ("input()", False)])
def test_children_that_fail_or_hang_are_told_and_ended(program, fine):
    line = [sys.executable, "-c", program]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True)
    assert two_gpus.done([process], 60 if program != "input()" else 0.2) is fine
    process.communicate()
    assert process.poll() is not None
