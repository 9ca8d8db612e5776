"""PyTorch's tensors in files of others, without running what else such a file may hold."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashhuman.io.files import reading


def _storage(data: bytes) -> Any:
    """`torch.storage._load_from_bytes`: the numbers of a tensor, saved by torch within a pickle."""
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor without numbers is not admitted")
    return storage


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`: a view of a storage, here as an array of its own. torch checks the bounds."""
    flat = torch.empty(0, dtype=storage.dtype).set_(storage)
    return torch.as_strided(flat, tuple(size), tuple(stride), offset).clone().numpy()


TENSORS: dict[tuple[str, str], Callable] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""Stand-ins for the restricted unpickler: tensors within a pickle become arrays."""


def load_torch(path: Path) -> Any:
    """What torch.save wrote. Raises UserError if it is absent, damaged, or holds more than tensors and containers."""
    with reading(path, "torch") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError):  # whose messages advise to run what the file holds
            raise ValueError("torch finds no tensors and containers alone in it") from None
