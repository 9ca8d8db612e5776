"""Reads PyTorch's tensors from other tools' files, without running code that such a file may hold."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashhuman.io import limits
from hashhuman.io.files import reading


def _storage(data: bytes) -> Any:
    """Stands in for `torch.storage._load_from_bytes`: the numbers of a tensor that torch has saved in a pickle."""
    file = io.BytesIO(data)
    limits.check_torch(file)
    storage = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError("a tensor without numbers is not admitted")
    return storage


def _tensor(storage: Any, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> np.ndarray:
    """Stands in for `torch._utils._rebuild_tensor_v2`: copies a view of a storage; torch checks its bounds."""
    flat = torch.empty(0, dtype=storage.dtype).set_(storage)
    return torch.as_strided(flat, tuple(size), tuple(stride), offset).clone().numpy()


TENSORS: dict[tuple[str, str], Callable] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""For the restricted unpickler: turns the tensors of a pickle into arrays."""


def load_torch(path: Path) -> Any:
    """The content of a torch.save. Raises UserError if it is absent, damaged, or not just tensors and containers."""
    with reading(path, "torch") as file:
        try:
            limits.check_torch(file)
            return torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError):  # torch's own message suggests to run the file's code
            raise ValueError("it does not hold just tensors and containers") from None
