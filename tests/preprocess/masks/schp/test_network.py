import numpy as np
import pytest
import torch
from torch.nn import functional as F

from preprocess.masks.schp.labels import LABEL_SETS
from preprocess.masks.schp.network import ABN, AugmentedCE2P
from tests.preprocess.masks.schp.layout import random_weights, upstream

SMALL = (1, 2, 1, 1)


@pytest.mark.parametrize("labels", LABEL_SETS.values(), ids=LABEL_SETS)
def test_names_and_shapes_are_upstreams(labels):
    with torch.device("meta"):
        state = AugmentedCE2P(len(labels)).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == upstream(len(labels))


@pytest.mark.parametrize("slope", [0.01, 0.0, 1.0])
def test_abn_takes_the_gains_magnitude_and_leaks(slope):
    rng = np.random.default_rng(0)
    x, mean, bias, gain = rng.normal(size=(2, 5, 3, 4)), *rng.normal(size=(3, 5))
    variance = rng.uniform(0.1, 2, 5)
    gain[0], gain[1] = 0, -0.8
    assert (gain < 0).any()

    def tall(value):
        return value[:, None, None]

    y = (x - tall(mean)) / np.sqrt(tall(variance) + 1e-5) * (np.abs(tall(gain)) + 1e-5) + tall(bias)
    expected = np.where(y > 0, y, slope * y)
    abn = ABN(5, slope).double().eval()
    state = {"weight": gain, "bias": bias, "running_mean": mean, "running_var": variance}
    abn.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    with torch.inference_mode():
        np.testing.assert_allclose(abn(torch.from_numpy(x)).numpy(), expected, rtol=1e-10, atol=1e-12)


class Written:
    """Upstream's forward pass, written out over a dictionary of weights."""

    def __init__(self, weights: dict[str, torch.Tensor], blocks: tuple[int, ...]):
        self.weights, self.blocks = weights, blocks

    def conv(self, name, x, **options):
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), **options)

    def norm(self, name, x):
        gain, bias, mean, variance = (
            self.weights[f"{name}.{field}"][:, None, None]
            for field in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) * torch.rsqrt(variance + 1e-5) * (gain.abs() + 1e-5) + bias

    def abn(self, name, x):
        y = self.norm(name, x)
        return torch.maximum(y, 0.01 * y)

    def block(self, name, x, stride, dilation):
        y = torch.relu(self.norm(f"{name}.bn1", self.conv(f"{name}.conv1", x)))
        y = self.conv(f"{name}.conv2", y, stride=stride, padding=dilation, dilation=dilation)
        y = self.norm(f"{name}.bn3", self.conv(f"{name}.conv3", torch.relu(self.norm(f"{name}.bn2", y))))
        if f"{name}.downsample.0.weight" in self.weights:
            x = self.norm(f"{name}.downsample.1", self.conv(f"{name}.downsample.0", x, stride=stride))
        return torch.relu(x + y)

    def layer(self, number, x, stride, dilation):
        for i in range(self.blocks[number - 1]):
            x = self.block(f"layer{number}.{i}", x, stride if i == 0 else 1, dilation)
        return x

    def __call__(self, x):
        x = torch.relu(self.norm("bn1", self.conv("conv1", x, stride=2, padding=1)))
        x = torch.relu(self.norm("bn2", self.conv("conv2", x, padding=1)))
        x = torch.relu(self.norm("bn3", self.conv("conv3", x, padding=1)))
        x = F.max_pool2d(x, 3, 2, 1)
        x2 = self.layer(1, x, 1, 1)
        x3 = self.layer(2, x2, 2, 1)
        x4 = self.layer(3, x3, 2, 1)
        x5 = self.layer(4, x4, 1, 2)

        def resized(y, like):
            return F.interpolate(y, like.shape[2:], mode="bilinear", align_corners=True)

        pyramid = []
        for i, size in enumerate((1, 2, 3, 6)):
            name = f"context_encoding.stages.{i}"
            pooled = F.adaptive_avg_pool2d(x5, size)
            pyramid.append(resized(self.abn(f"{name}.2", self.conv(f"{name}.1", pooled)), x5))
        context = self.conv("context_encoding.bottleneck.0", torch.cat([*pyramid, x5], 1), padding=1)
        context = self.abn("context_encoding.bottleneck.1", context)
        high = resized(self.abn("decoder.conv1.1", self.conv("decoder.conv1.0", context)), x2)
        low = self.abn("decoder.conv2.1", self.conv("decoder.conv2.0", x2))
        parsing = self.abn("decoder.conv3.1", self.conv("decoder.conv3.0", torch.cat([high, low], 1)))
        parsing = self.abn("decoder.conv3.3", self.conv("decoder.conv3.2", parsing))
        edges = [self.abn(f"edge.conv{i}.1", self.conv(f"edge.conv{i}.0", x)) for i, x in ((1, x2), (2, x3), (3, x4))]
        fused = torch.cat([parsing, *(resized(edge, x2) for edge in edges)], 1)
        return self.conv("fushion.3", self.abn("fushion.1", self.conv("fushion.0", fused)))


def test_forward_is_upstreams():
    weights = {k: torch.from_numpy(v).double() for k, v in random_weights(upstream(7, SMALL)).items()}
    with torch.device("meta"):
        network = AugmentedCE2P(7, SMALL).eval()
    network.load_state_dict(weights, strict=True, assign=True)
    image = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 65, 49)))
    with torch.inference_mode():
        found, expected = network(image), Written(weights, SMALL)(image)
    assert found.shape == (2, 7, 17, 13)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
