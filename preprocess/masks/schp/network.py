"""The network of Self-Correction Human Parsing: Augmented CE2P.

"Self-Correction for Human Parsing" (Li, Xu, Wei and Yang, TPAMI 2020), after "Devil in the Details" (Ruan et al., AAAI
2019). Modules have the names of the published checkpoints, spelling mistakes included. They are for inference only.

                    1/4       1/8       1/16                1/16
    image -> stem -> layer1 -> layer2 -> layer3 -> layer4 -> context_encoding
                       |          |         |                    |
                       +--> edge <+---------+                    |
                       +----------|-> decoder <------------------+
                                  +-> fushion <- (decoder) -> logits, 1/4
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.01  # of InPlaceABN's leaky ReLU


class ABN(nn.Module):
    """Batch normalisation and activation as in InPlaceABN, with which the checkpoints were trained.

    y = leaky_relu((x - mean) / sqrt(var + eps) * (|weight| + eps) + bias). InPlaceABN (Rota Bulo et al., CVPR 2018)
    takes the magnitude of the weight because it has to invert the map. This matters wherever a trained weight is
    negative.

    Args:
        channels: of the features.
        slope: of the activation below zero; 0 gives a ReLU, 1 no activation.
    """

    eps = 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, slope: float = LEAK) -> None:
        super().__init__()
        self.slope = slope
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        gamma = self.weight.abs() + self.eps
        y = F.batch_norm(x, self.running_mean, self.running_var, gamma, self.bias, eps=self.eps)
        return y if self.slope == 1 else F.leaky_relu_(y, self.slope)


def conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias, padded so that stride 1 keeps the size."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=dilation * (size // 2), dilation=dilation, bias=False)


def conv_abn(inputs: int, outputs: int, size: int = 1) -> nn.Sequential:
    """A convolution, followed by normalisation and activation."""
    return nn.Sequential(conv(inputs, outputs, size), ABN(outputs))


def enlarge(x: Float[Tensor, "B C h w"], size: torch.Size | tuple[int, int]) -> Float[Tensor, "B C H W"]:
    """Bilinear interpolation to a size (height, width) that keeps the centres of the corner pixels."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions (He et al., CVPR 2016), with the stride in the second."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width), ABN(width, slope=0)
        self.conv2, self.bn2 = conv(width, width, 3, stride, dilation), ABN(width, slope=0)
        self.conv3, self.bn3 = conv(width, 4 * width), ABN(4 * width, slope=1)
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(conv(inputs, 4 * width, stride=stride), ABN(4 * width, slope=1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = self.bn1(self.conv1(x))
        y = self.bn2(self.conv2(y))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return y.relu_()


def layer(inputs: int, width: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A group of ResNet blocks; the first has the stride."""
    first = Bottleneck(inputs, width, stride, dilation)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1, dilation) for _ in range(blocks - 1)))


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al., CVPR 2017): means over 1, 4, 9 and 36 regions, concatenated with the features."""

    def __init__(self, inputs: int, outputs: int, sizes: tuple[int, ...] = (1, 2, 3, 6)) -> None:
        super().__init__()
        stages = ((nn.AdaptiveAvgPool2d(size), *conv_abn(inputs, outputs)) for size in sizes)
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.bottleneck = conv_abn(inputs + len(sizes) * outputs, outputs, 3)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        return self.bottleneck(torch.cat([*(enlarge(stage(x), x.shape[2:]) for stage in self.stages), x], 1))


class EdgeBranch(nn.Module):
    """Features of the edges between parts, from the first three layers."""

    def __init__(self, inputs: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (conv_abn(channels, width) for channels in inputs)
        # The edge map itself: in the checkpoint because training supervises it, but not needed for parsing.
        self.conv4, self.conv5 = nn.Conv2d(width, 2, 3, padding=1), nn.Conv2d(6, 2, 1)

    def forward(
        self, x1: Float[Tensor, "B C1 H W"], x2: Float[Tensor, "B C2 h w"], x3: Float[Tensor, "B C3 h3 w3"]
    ) -> Float[Tensor, "B D H W"]:
        size = x1.shape[2:]
        return torch.cat([self.conv1(x1), enlarge(self.conv2(x2), size), enlarge(self.conv3(x3), size)], 1)


class Decoder(nn.Module):
    """Combines the context with the first layer's features, at their resolution."""

    def __init__(self, context: int, details: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv_abn(context, 256), conv_abn(details, 48)
        self.conv3 = nn.Sequential(*conv_abn(256 + 48, 256), *conv_abn(256, 256))
        self.conv4 = nn.Conv2d(256, classes, 1)  # parsing before fusion: supervised in training, unused here

    def forward(self, context: Float[Tensor, "B C h w"], details: Float[Tensor, "B D H W"]) -> Float[Tensor, "B E H W"]:
        return self.conv3(torch.cat([enlarge(self.conv1(context), details.shape[2:]), self.conv2(details)], 1))


class AugmentedCE2P(nn.Module):
    """Maps pictures (B, 3, H, W) to logits of every class at a quarter of their size.

    Args:
        classes: number of classes; the first is the background.
        blocks: number of blocks in each of the four layers; the published checkpoints have those of ResNet-101.
    """

    def __init__(self, classes: int, blocks: tuple[int, int, int, int] = (3, 4, 23, 3)) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 3, stride=2), ABN(64, slope=0)
        self.conv2, self.bn2 = conv(64, 64, 3), ABN(64, slope=0)
        self.conv3, self.bn3 = conv(64, 128, 3), ABN(128, slope=0)
        self.layer1 = layer(128, 64, blocks[0])
        self.layer2 = layer(256, 128, blocks[1], stride=2)
        self.layer3 = layer(512, 256, blocks[2], stride=2)
        self.layer4 = layer(1024, 512, blocks[3], dilation=2)
        self.context_encoding = PyramidPooling(2048, 512)
        self.edge = EdgeBranch((256, 512, 1024), 256)
        self.decoder = Decoder(512, 256, classes)
        self.fushion = nn.Sequential(*conv_abn(4 * 256, 256), nn.Identity(), nn.Conv2d(256, classes, 1))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N h w"]:
        x = self.bn1(self.conv1(image))
        x = self.bn2(self.conv2(x))
        x = self.bn3(self.conv3(x))
        x2 = self.layer1(F.max_pool2d(x, 3, stride=2, padding=1))
        x3 = self.layer2(x2)
        x4 = self.layer3(x3)
        context = self.context_encoding(self.layer4(x4))
        return self.fushion(torch.cat([self.decoder(context, x2), self.edge(x2, x3, x4)], 1))
