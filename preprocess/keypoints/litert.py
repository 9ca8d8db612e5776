"""TFLite networks on the CPU."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.io.assets import Asset, fetch
from hashhuman.io.packages import require_package
from hashhuman.io.threads import cores

_stderr = threading.Lock()


def require_litert() -> Any:
    """The package that runs the networks. Raises UserError where it is missing."""
    advice = "`pip install 'hashhuman[preprocess]'`, or use your own points with preprocess/keypoints=folder"
    return require_package("ai_edge_litert.interpreter", "finding the person", advice, "ai-edge-litert")


class Network:
    """A TFLite file as a function of one array, for one caller at a time."""

    def __init__(self, asset: Asset, threads: int | None = None):
        """Fetches and loads the weights; `threads` to compute in, None: as many as there are cores.

        Raises UserError if the weights, or LiteRT, cannot be had.
        """
        interpreter = require_litert()
        path: Path = fetch(asset)
        self._interpreter = interpreter.Interpreter(str(path), num_threads=threads or cores())
        self._shape: tuple[int, ...] = ()

    def __call__(self, array: np.ndarray) -> list[np.ndarray]:
        """The outputs in the file's order."""
        given = self._interpreter.get_input_details()[0]["index"]
        if array.shape != self._shape:
            self._interpreter.resize_tensor_input(given, array.shape)
            with _without_remarks():
                self._interpreter.allocate_tensors()
            self._shape = array.shape
        self._interpreter.set_tensor(given, array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(out["index"]) for out in self._interpreter.get_output_details()]


@contextlib.contextmanager
def _without_remarks() -> Iterator[None]:
    """Keeps back the lines that the runtime writes to stderr as INFO; its own level of logging cannot be set.

    All other lines, warnings, errors and those of other threads included, are passed on at the end.
    """
    with _stderr, tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not line.startswith(b"INFO: ")))
