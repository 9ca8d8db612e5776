"""Reads the published checkpoints of Self-Correction Human Parsing."""

from pathlib import Path

import torch

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import reading
from preprocess.masks.schp.labels import LabelSet
from preprocess.masks.schp.network import AugmentedCE2P

_PREFIX = "module."  # in the parameter names of a network that was trained on several GPUs
_COUNTER = "num_batches_tracked"  # saved by PyTorch's normalisation, but not by InPlaceABN


def missing_checkpoint(path: Path, labels: LabelSet) -> str | None:
    """A sentence that asks the user for a checkpoint, or None if the file exists."""
    if path.is_file():
        return None
    return f"There is no checkpoint {path}: download {labels.checkpoint} from {labels.source} and put it there."


def load_network(path: Path, labels: LabelSet) -> AugmentedCE2P:
    """The network with a checkpoint's weights (float32), for inference on the CPU.

    Args:
        path: the checkpoint.
        labels: the classes that it was trained for.

    Raises UserError if the file is missing or damaged, holds anything but tensors and plain values, or belongs to a
    network with other layers or classes.
    """
    if (sentence := missing_checkpoint(path, labels)) is not None:
        raise UserError(sentence)
    with reading(path, "checkpoint") as file:
        limits.check_torch(file)
        saved = torch.load(file, map_location="cpu", weights_only=True)
        weights = saved.get("state_dict", saved)
        weights = {name.removeprefix(_PREFIX): value for name, value in weights.items() if not name.endswith(_COUNTER)}
    with torch.device("meta"):
        network = AugmentedCE2P(len(labels))
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for name in [*expected, *weights]:
        shape = tuple(weights[name].shape) if isinstance(weights.get(name), torch.Tensor) else None
        if shape != expected.get(name):
            raise UserError(
                f"{path} is not {labels.checkpoint} or a network like it: its {name} is {shape or 'missing'}, "
                f"not {expected.get(name, 'absent')}."
            )
        if not weights[name].isfinite().all():
            raise UserError(f"{path} holds numbers that are not finite ({name}): download {labels.checkpoint} again.")
    network.load_state_dict(weights, strict=True, assign=True)
    return network.float().eval().requires_grad_(False)
