"""Work that a GPU does beside other work: small kernels that would leave most of it idle if they came in turn."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor


class SideStream:
    """A second stream, forked off the present one. Without a GPU, everything runs in turn.

    In a captured step the two are branches of the CUDA graph. The backward pass of an operation runs on the stream of
    its forward pass. Results may be used after `join`.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if on_gpu else None
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(device))
        self.device = device

    def wait(self, *results: Tensor) -> None:
        """Makes the second stream wait for what was launched on the present one until now, to read these results."""
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(self.device))
            for result in results:
                result.record_stream(self.stream)  # their memory is not used again before they were read

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """Context whose kernels run on the second stream.

        They wait for what was launched before this object was made or `wait` was called, and for nothing else.
        """
        if self.stream is None:
            yield
        else:
            with torch.cuda.stream(self.stream):
                yield

    def join(self) -> None:
        """Makes the present stream wait for the second one."""
        if self.stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self.stream)
