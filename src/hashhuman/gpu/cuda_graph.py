"""Work on a GPU captured as a CUDA graph and replayed in one launch."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def on_side_stream(work: Callable[[], Result]) -> Result:
    """Does work in a stream of its own, as a capture will: compiles and initialises what a capture must not see."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def capture(work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
    """The graph, and what the work returns: each replay fills its tensors anew, the capture itself does not.

    Sizes must be fixed, and nothing may be read back to the host. Do the work once `on_side_stream` before.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may be copying pictures
        result = work()
    return graph, result
