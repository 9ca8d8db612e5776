"""Lists of what a mask selects, of exact or of fixed length.

An exact list's length is known only once the GPU has counted, so the host must wait for it. A list of fixed length,
with room to spare, lets a whole training step be recorded as a CUDA graph.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def exact(mask: Bool[Tensor, "P N"]) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
    """Rows and columns of the selected entries, row by row."""
    row, column = mask.nonzero().unbind(1)
    return row, column


def padded(mask: Bool[Tensor, "P N"], capacity: Sequence[int]) -> tuple[Int[Tensor, "M"], Int[Tensor, "M"]]:
    """The same with room for `capacity[p]` entries of row p; M is their sum.

    Unused places hold column N - 1, which must be a dummy that the mask never selects. Entries beyond a row's capacity
    are dropped, the last columns first.
    """
    rows, columns = mask.shape
    room = torch.tensor(capacity)
    start = torch.cat([room.new_zeros(1), room.cumsum(0)]).tolist()
    found = torch.full((start[-1] + 1,), columns - 1, device=mask.device)
    index = torch.arange(columns, device=mask.device)
    for row in range(rows):
        place = mask[row].cumsum(0) - 1
        fits = mask[row] & (place < capacity[row])
        found.scatter_(0, torch.where(fits, place + start[row], start[-1]), index)  # the last place takes what is left
    row = torch.cat([torch.full((size,), p, device=mask.device) for p, size in enumerate(capacity)])
    return row, found[:-1]
