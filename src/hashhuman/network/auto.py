"""Chooses the fastest network backend for the device."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.gpu.backend import installed
from hashhuman.gpu.part_rows import PartRows
from hashhuman.network import blocked_mlp, part_mlp
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.network.triton_mlp import TritonMLPs


class AutoMLPs(TritonMLPs):
    """Triton kernels for tensors on a GPU, if Triton is installed; on a CPU, PyTorch part by part on all cores, and in
    blocks without gradients."""

    @staticmethod
    def require() -> None:
        """Nothing: it runs on every device."""

    def forward(self, x: Float[Tensor, "M n_in"], rows: PartRows) -> Float[Tensor, "M n_out"]:
        """Output of the network of each row's part; see `TorchMLPs.forward`."""
        if x.is_cuda and installed():
            return TritonMLPs.forward(self, x, rows)
        if x.device.type != "cpu":
            return TorchMLPs.forward(self, x, rows)
        if torch.is_grad_enabled():
            return part_mlp.evaluate(self, x, rows)
        return blocked_mlp.evaluate(self, x, rows)
