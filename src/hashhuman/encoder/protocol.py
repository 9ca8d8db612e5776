"""What the field asks of an encoder, whatever it is: a hash grid, planes, frequencies."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from hashhuman.gpu.part_rows import PartRows


@runtime_checkable
class Encoder(Protocol):
    """Turns positions into features, for all parts at once. Implementations are `torch.nn.Module`s."""

    n_features: int

    def __call__(self, x: Float[Tensor, "M 3"], rows: PartRows) -> Float[Tensor, "M n_features"]:
        """Features at positions in [0, 1]^3 in the cube of each row's part, for the first layer of the networks.

        Unused rows may hold anything finite, and so may their features. On a GPU the call is captured in a CUDA graph:
        it must not read values back to the host, and its shapes may depend on `rows.sizes` alone.
        """
        ...


@runtime_checkable
class EncoderFactory(Protocol):
    """What an option of the group `encoder` is: a class or function with `_partial_: true`."""

    def __call__(self, *, extents: Sequence[float], grids: Sequence[Mapping[str, Any]]) -> Encoder:
        """Makes the encoder of all parts.

        Args:
            extents: side of each part's cube (m).
            grids: options of single parts (`field.parts.NAME.grid`), which replace the encoder's own of the same name.
        """
        ...
