"""Where Triton's kernels can run."""

import functools
import importlib.util
import os

import torch
from torch import Tensor

from hashhuman.errors import UserError


@functools.cache
def installed() -> bool:
    """Whether Triton is there; PyTorch's CUDA builds bring it."""
    return importlib.util.find_spec("triton") is not None


def runs_on(x: Tensor) -> bool:
    """Whether kernels can run on the tensor's device; on a CPU they do in Triton's interpreter, slowly, for tests."""
    return installed() and (x.is_cuda or os.environ.get("TRITON_INTERPRET") == "1")


def require(x: Tensor, option: str) -> None:
    """Checks that kernels can run on the tensor's device.

    Raises:
        UserError: if they cannot; `option` is what was chosen, such as encoder=triton.
    """
    if not runs_on(x):
        group = option.partition("=")[0]
        raise UserError(f"{option} needs a CUDA device and the package triton: choose {group}=auto or {group}=torch")


def chosen(kernels: str, device: torch.device) -> bool:
    """Whether to use Triton for tensors on a device, by an option that is `auto`, `triton` or `torch`.

    Raises UserError for another option, and for `triton` where it cannot run.
    """
    if kernels not in ("auto", "triton", "torch"):
        raise UserError(f"kernels={kernels} is none of auto, triton and torch.")
    if kernels == "triton":
        require(torch.empty(0, device=device), "kernels=triton")
    return kernels == "triton" or (kernels == "auto" and device.type == "cuda" and installed())
