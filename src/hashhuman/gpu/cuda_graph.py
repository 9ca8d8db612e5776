"""Work on a GPU recorded as a CUDA graph, to be replayed in one launch."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def on_side_stream(work: Callable[[], Result]) -> Result:
    """Does work in a stream of its own, as recording will: compiles and initialises what a recording must not see."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def record(work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
    """The graph, and what the work returns: its tensors are filled anew by each replay, not by the recording.

    Sizes must be fixed, and nothing may be read back. Do the work `on_side_stream` before.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may be copying pictures
        result = work()
    return graph, result
