"""Networks in Triton: one launch for all parts, on tensor cores."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.gpu.backend import require
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network.torch_mlp import TorchMLPs

Precision = Literal["tf32", "ieee", "float16"]


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Launch parameters of a kernel. The benchmark compares others.

    Attributes:
        block: number of rows that a program multiplies at once; it divides GRANULE.
        warps: number of warps of a program.
        stages: depth of the software pipeline: blocks that are read while another is computed.
        programs: number of programs on each multiprocessor.
    """

    block: int
    warps: int
    stages: int
    programs: int


class TritonMLPs(TorchMLPs):
    """Computes the outputs and gradients of `TorchMLPs` from the same weights. Sums are float32, in a fixed order.

    Args:
        n_parts, n_in, width, n_hidden, n_out: as in `TorchMLPs`.
        precision: precision of the factors of products. tf32 has the precision of float16 and the range of float32;
            ieee is float32. With float16, gradients are multiplied in tf32, whose range needs no scaled losses.
    """

    def __init__(
        self, n_parts: int, n_in: int, width: int, n_hidden: int, n_out: int, precision: Precision = "tf32"
    ) -> None:
        super().__init__(n_parts, n_in, width, n_hidden, n_out)
        self.precision = precision
        wide = width > 64  # fewer rows at once, since the weights take more shared memory
        self.forward_tuning = Tuning(32, 8, 2, 2) if wide else Tuning(64, 4, 3, 3)
        self.backward_tuning = Tuning(32, 8, 1, 1) if wide else Tuning(64, 4, 2, 2)

    @staticmethod
    def require(device: torch.device) -> None:
        """Raises UserError if Triton's kernels cannot run on the device."""
        require(device, "network=triton")

    def forward(self, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
        """Output of the network of each row's part; 0 in unused rows.

        It is stored column by column. The kernel is fastest if `x` is stored so too.

        Raises:
            UserError: if Triton cannot run on the device of `x`, or the networks are too wide for it.
        """
        require(x.device, "network=triton")
        return _Apply.apply(x, self, rows, *self.weights, *self.biases)  # type: ignore[return-value]


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mlps: TritonMLPs, rows: PartRows, *parameters: Tensor) -> Tensor:
        from hashhuman.network.mlp_kernels import mlp_forward

        out = x.new_empty(mlps.n_out, rows.total, dtype=torch.float32).t()
        tuning = mlps.forward_tuning
        if rows.total:
            with fitting(mlps):
                mlp_forward[(n_programs(x, rows, tuning),)](
                    x, x.stride(0), x.stride(1), *halves(parameters), rows.used,
                    out, out.stride(0), out.stride(1), rows.total, rows.starts,
                    **compiled_sizes(mlps), **options(tuning),
                )  # fmt: skip
        ctx.save_for_backward(x, *parameters)
        ctx.mlps, ctx.rows = mlps, rows
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from hashhuman.network.mlp_kernels import mlp_backward, sum_partials

        (upstream,), (x, *parameters) = grads, ctx.saved_tensors
        mlps, rows, tuning = ctx.mlps, ctx.rows, ctx.mlps.backward_tuning
        weights, biases = halves(parameters)
        # Sizes of one part's tensors, layer by layer, and the start of each when all are concatenated.
        counts = [tensor[0].numel() for pair in zip(weights, biases) for tensor in pair]
        *places, n_parameters = itertools.accumulate(counts, initial=0)
        of_x = ctx.needs_input_grad[0]
        x_gradient = x.new_empty(mlps.n_in, rows.total, dtype=torch.float32).t() if of_x else x
        partials = x.new_empty(n_programs(x, rows, tuning), n_parameters, dtype=torch.float32)
        gradients = partials.new_zeros(len(rows.sizes) * n_parameters)
        if rows.total:
            with fitting(mlps):
                mlp_backward[(len(partials),)](
                    x, x.stride(0), x.stride(1), weights, biases, rows.used,
                    upstream, upstream.stride(0), upstream.stride(1),
                    x_gradient, x_gradient.stride(0), x_gradient.stride(1), partials, n_parameters, tuple(places),
                    rows.total, rows.starts, OF_X=of_x, **compiled_sizes(mlps), **options(tuning),
                )  # fmt: skip
            columns = 64
            sum_partials[(-(-n_parameters // columns), len(rows.sizes))](
                partials, len(partials), rows.used, gradients, n_parameters, tuple(places), rows.starts,
                BLOCK=tuning.block, SLOTS=32, COLUMNS=columns,
            )  # fmt: skip
        flat = gradients.split([len(rows.sizes) * count for count in counts])
        ordered = [gradient.view_as(parameter) for gradient, parameter in zip(flat[::2] + flat[1::2], parameters)]
        return x_gradient.to(x.dtype) if of_x else None, None, None, *ordered


@contextlib.contextmanager
def fitting(mlps: TritonMLPs) -> Iterator[None]:
    """Surrounds the launch of a kernel that may need more shared memory than the GPU has.

    Raises:
        UserError: if it needs more.
    """
    from triton.runtime.errors import OutOfResources

    try:
        yield
    except OutOfResources as error:
        raise UserError(
            f"networks of width {mlps.width} do not fit this GPU with network.precision={mlps.precision}: choose "
            "a smaller field.width, or network=torch"
        ) from error


def halves(parameters: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Divides a list of all weights, then all biases, into the two."""
    middle = len(parameters) // 2
    return tuple(parameters[:middle]), tuple(parameters[middle:])


def n_programs(x: Tensor, rows: PartRows, tuning: Tuning) -> int:
    """Number of programs: as many as the device runs at once, at most one a block, at least one a part."""
    processors = torch.cuda.get_device_properties(x.device).multi_processor_count if x.is_cuda else 1
    return max(len(rows.sizes), min(tuning.programs * processors, rows.total // tuning.block))


def compiled_sizes(mlps: TritonMLPs) -> dict[str, Any]:
    """Compile-time constants of the kernels."""
    real = {"IN": mlps.n_in, "WIDTH": mlps.width, "OUT": mlps.n_out}
    padded = {f"PAD_{name}": max(16, 1 << (size - 1).bit_length()) for name, size in real.items()}
    return {"N_IN": mlps.n_in, "WIDTH": mlps.width, "N_OUT": mlps.n_out, "PRECISION": mlps.precision, **padded}


def options(tuning: Tuning) -> dict[str, int]:
    """Launch options of a kernel."""
    return {"BLOCK": tuning.block, "num_warps": tuning.warps, "num_stages": tuning.stages}
