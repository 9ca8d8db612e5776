"""Reads the published checkpoints."""

from pathlib import Path

import torch

from hashhuman.errors import UserError
from hashhuman.io.files import reading
from preprocess.masks.schp.labels import LabelSet
from preprocess.masks.schp.network import AugmentedCE2P

_PREFIX = "module."  # of a network that was trained on several GPUs
_COUNTER = "num_batches_tracked"  # which PyTorch's own normalisation saves beside what InPlaceABN does


def absent(path: Path, labels: LabelSet) -> str | None:
    """The sentence that asks for a checkpoint, unless it is there."""
    if path.is_file():
        return None
    return f"There is no checkpoint {path}: download {labels.checkpoint} from {labels.source} and put it there."


def load_network(path: Path, labels: LabelSet) -> AugmentedCE2P:
    """The network with the checkpoint's weights, for inference.

    Raises UserError if the file is missing, damaged, holds anything but tensors and plain values, or is of a network
    with other layers or classes.
    """
    if (sentence := absent(path, labels)) is not None:
        raise UserError(sentence)
    with reading(path, "checkpoint") as file:
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
            raise UserError(f"{path} holds numbers that are not finite ({name}): download {labels.checkpoint} anew.")
    network.load_state_dict(weights, strict=True, assign=True)
    return network.float().eval().requires_grad_(False)
