"""Decides whether Triton's kernels, Numba's loops or plain PyTorch are used."""

import functools
import importlib.util
import os

import torch

from hashhuman.errors import UserError


@functools.cache
def installed() -> bool:
    """Whether Triton is installed; PyTorch's CUDA builds bring it along."""
    return importlib.util.find_spec("triton") is not None


def runs_on(device: torch.device) -> bool:
    """Whether kernels can run on a device. On a CPU they only run in Triton's interpreter, for tests."""
    return installed() and (device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1")


def require(device: torch.device, option: str) -> None:
    """Checks that kernels can run on a device.

    Args:
        device: the device.
        option: the user's choice, for the message; for example "encoder=triton".

    Raises:
        UserError: if they cannot.
    """
    if not runs_on(device):
        group = option.partition("=")[0]
        raise UserError(f"{option} needs a CUDA device and the package triton: choose {group}=auto or {group}=torch.")


def chosen(kernels: str, device: torch.device) -> bool:
    """Whether to use Triton for tensors on a device.

    Args:
        kernels: auto (Triton on a GPU), triton, numba or torch.
        device: the device of the tensors.

    Raises:
        UserError: for another value of `kernels`, and for triton or numba on a device on which they cannot run.
    """
    if kernels not in ("auto", "triton", "numba", "torch"):
        raise UserError(f"kernels={kernels} is none of auto, triton, numba and torch.")
    if kernels == "triton":
        require(device, "kernels=triton")
    if kernels == "numba" and device.type != "cpu":
        raise UserError("kernels=numba runs on the CPU only: choose kernels=auto, triton or torch.")
    return kernels == "triton" or (kernels == "auto" and device.type == "cuda" and installed())


def looped(kernels: str, device: torch.device) -> bool:
    """Whether to use Numba's loops for tensors on a device, where there are loops: on a CPU, with auto or numba.

    Args and errors are those of `chosen`.
    """
    return not chosen(kernels, device) and kernels != "torch" and device.type == "cpu"
