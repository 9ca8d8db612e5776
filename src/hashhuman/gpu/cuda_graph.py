"""Captures work on a GPU as a CUDA graph, which replays all its kernels in one launch."""

from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result")


def on_side_stream(work: Callable[[], Result]) -> Result:
    """Calls a function in a separate stream, as a capture does.

    To be called once before a capture, since a capture must contain neither compilation nor initialisation.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def capture(work: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
    """Captures a function. Call it once with `on_side_stream` before.

    All sizes must be fixed, and nothing may be copied to the host.

    Returns:
        The graph and the function's result. Each replay fills the result's tensors; the capture itself does not.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may be copying pictures
        result = work()
    return graph, result
