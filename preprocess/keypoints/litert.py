"""Runs TFLite networks on the CPU, with LiteRT."""

import contextlib
import os
import queue
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from hashhuman.io.assets import Asset, fetch
from hashhuman.io.packages import require_package
from hashhuman.io.threads import WORKERS, cores

N = TypeVar("N")
_stderr = threading.Lock()


def require_litert() -> Any:
    """The package that runs the networks. Raises UserError where it is missing."""
    advice = "`pip install 'hashhuman[preprocess]'`, or use your own points with preprocess/keypoints=folder"
    return require_package("ai_edge_litert.interpreter", "finding the person", advice, "ai-edge-litert")


class Network:
    """A TFLite file as a function of one array, for one caller at a time.

    Args:
        asset: the file, downloaded if necessary.
        threads: how many threads to compute with; None: one for each core.

    Raises UserError if LiteRT is not installed or the file cannot be downloaded.
    """

    def __init__(self, asset: Asset, threads: int | None = None):
        interpreter = require_litert()
        path: Path = fetch(asset)
        self._interpreter = interpreter.Interpreter(str(path), num_threads=threads or cores())
        self._shape: tuple[int, ...] = ()

    def __call__(self, array: np.ndarray) -> list[np.ndarray]:
        """The outputs in the file's order. The input is resized if the array's shape differs from the last one."""
        input_index = self._interpreter.get_input_details()[0]["index"]
        if array.shape != self._shape:
            self._interpreter.resize_tensor_input(input_index, array.shape)
            with _without_info_lines():
                self._interpreter.allocate_tensors()
            self._shape = array.shape
        self._interpreter.set_tensor(input_index, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(out["index"]) for out in self._interpreter.get_output_details()]


class Networks(Generic[N]):
    """Copies of a network, so that several threads compute at once.

    On one picture, all cores together compute less than twice as fast as one.

    Args:
        make: makes a copy that computes with so many threads.
        most: copies, at most; by default, as many as `hashhuman.io.threads.ordered` has workers.
    """

    def __init__(self, make: Callable[[int], N], most: int | None = None) -> None:
        several = min(cores(), most or WORKERS)
        self._idle: queue.SimpleQueue[N] = queue.SimpleQueue()
        for _ in range(several):
            self._idle.put(make(cores() // several))

    @contextlib.contextmanager
    def idle(self) -> Iterator[N]:
        """Waits for a network that no other thread uses, and lends it."""
        network = self._idle.get()
        try:
            yield network
        finally:
            self._idle.put(network)


@contextlib.contextmanager
def _without_info_lines() -> Iterator[None]:
    """Suppresses lines that the runtime writes to stderr as INFO, since its log level cannot be set.

    All other lines, also those of other threads, are written when the body ends.
    """
    with _stderr, tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        original = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            os.write(2, b"".join(line for line in captured if not line.startswith(b"INFO: ")))
