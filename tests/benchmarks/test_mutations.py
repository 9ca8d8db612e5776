"""The runner of changed files finds what readers do wrong, and nothing in one that does nothing wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mutations
from benchmarks.mutation_readers import Reader, one

PREPARE = one("a.json", lambda path: path.write_text('{"a": [1, 2]}'))


def fails(path: Path) -> None:
    if b"[1, 2]" not in path.read_bytes():
        raise KeyError("a")


def writes(path: Path) -> None:
    if b"[1, 2]" not in path.read_bytes():
        Path(path.parents[1], "outside").write_text("x")


def crashes(path: Path) -> None:
    if b"[1, 2]" not in path.read_bytes():
        os.abort()


@pytest.mark.parametrize(
    ("read", "fault"),
    [(fails, "KeyError"), (writes, "wrote "), (crashes, "ended the process (-6)"), (Path.read_bytes, None)],
)
def test_faults_are_found(read, fault: str | None, tmp_path: Path):
    outcomes = mutations.attack(Reader("x", PREPARE, read, text=True), 0, 8, 0, tmp_path)
    assert len(outcomes) == 8
    found = [outcome["fault"] for outcome in outcomes if outcome["fault"]]
    assert (fault is None and not found) or (found and all(fault in each for each in found))


def test_the_same_seed_makes_the_same_inputs():
    data = b'{"a": [1, 2, 3], "b": "x"}'
    made = [[mutations.mutated(data, True, np.random.default_rng([0, i])) for i in range(20)] for _ in range(2)]
    assert made[0] == made[1] and len(set(made[0])) > 15
