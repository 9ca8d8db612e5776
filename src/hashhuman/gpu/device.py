"""Finds the device that an option names."""

import torch

from hashhuman.errors import UserError


def device_named(name: str, option: str) -> torch.device:
    """The device of a name.

    Args:
        name: auto (the GPU if there is one, else the CPU), or a device's name in PyTorch.
        option: the option that holds the name, for the message.

    Raises:
        UserError: for a name that PyTorch does not know, and for a GPU that does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"{option}={name}: there is no such device: choose auto, cpu, cuda or cuda:1.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"{option}={name}: PyTorch sees {torch.cuda.device_count()} GPUs: choose auto or cpu.")
    return device
