"""LPIPS against a simple network with the same weights, and against published values with the real weights."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hashhuman.errors import UserError
from hashhuman.evaluation.metrics.lpips import LPIPS, PerceptualLoss, Trunk

ALEX = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
VGG_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def alex() -> list[nn.Sequential]:
    """AlexNet's convolutions as five stages that end where LPIPS compares."""
    stages, channels = [], 3
    for i, (out, kernel, stride, padding) in enumerate(ALEX):
        pool = [nn.MaxPool2d(3, 2)] if i in (1, 2) else []
        stages.append(nn.Sequential(*pool, nn.Conv2d(channels, out, kernel, stride, padding), nn.ReLU()))
        channels = out
    return stages


def vgg(blocks: int = 5) -> list[nn.Sequential]:
    """VGG-16's convolutions, likewise."""
    stages, channels = [], 3
    for i, block in enumerate(VGG_BLOCKS[:blocks]):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if i else []
        for out in block:
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU()]
            channels = out
        stages.append(nn.Sequential(*layers))
    return stages


def save(path: Path, name: str, stages: list[nn.Sequential], heads: list[np.ndarray]) -> Path:
    """Weights in the layout of the package: kernels height, width, in, out."""
    convolutions = [layer for stage in stages for layer in stage if isinstance(layer, nn.Conv2d)]
    content = {
        name: {
            f"Conv_{i}": {"kernel": c.weight.detach().permute(2, 3, 1, 0).numpy(), "bias": c.bias.detach().numpy()}
            for i, c in enumerate(convolutions)
        }
    }
    content |= {f"NetLinLayer_{i}": {"Conv_0": {"kernel": head[None, None, :, None]}} for i, head in enumerate(heads)}
    path.write_bytes(pickle.dumps(content))
    return path


def features(stages: list[nn.Sequential], x: torch.Tensor) -> list[torch.Tensor]:
    """What LPIPS compares."""
    found = []
    for stage in stages:
        x = stage(x)
        found.append(x)
    return found


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two batches of two pictures in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 3, 64, 70, generator=generator) * 2 - 1 for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize(("net", "name", "make"), [("alex", "AlexNet_0", alex), ("vgg", "VGG16_0", vgg)])
def test_equation_1_with_any_weights(tmp_path, pair, net, name, make):
    torch.manual_seed(0)
    stages = make()
    heads = [np.random.default_rng(i).random(stage[-2].out_channels, np.float32) for i, stage in enumerate(stages)]
    model = LPIPS(net, save(tmp_path / "weights.ckpt", name, stages, heads))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # ImageNet, [0, 1]
    x, y = (((image + 1) / 2 - mean[:, None, None]) / deviation[:, None, None] for image in pair)
    with torch.no_grad():
        expected = torch.zeros(2)
        for a, b, head in zip(features(stages, x), features(stages, y), heads):
            a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
            expected += ((a - b) ** 2 * torch.from_numpy(head)[:, None, None]).sum(1).mean((1, 2))
        distance = model(*pair)
    torch.testing.assert_close(distance, expected, rtol=5e-3, atol=0)  # LPIPS rounds ImageNet's constants
    torch.testing.assert_close(model(*pair), model(*reversed(pair)))


def test_lpips_is_differentiable_and_not_stored_in_checkpoints(tmp_path, pair):
    torch.manual_seed(0)
    heads = [np.ones(layer[0], np.float32) for layer in ALEX]
    model = LPIPS("alex", save(tmp_path / "weights.ckpt", "AlexNet_0", alex(), heads))
    x = pair[0].clone().requires_grad_()
    model(x, pair[1]).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert model.state_dict() == {} and not list(model.parameters())
    assert model(pair[0], pair[0]).abs().max() == 0


def test_perceptual_loss_by_its_definition(tmp_path, pair):
    torch.manual_seed(0)
    stages = vgg(blocks=2)
    heads = [np.ones(64, np.float32), np.ones(128, np.float32)]
    loss = PerceptualLoss(save(tmp_path / "weights.ckpt", "VGG16_0", stages, heads))
    x, y = ((image + 1) / 2 for image in pair)
    one, two = ((a - b).abs().mean() for a, b in zip(features(stages, x), features(stages, y)))
    expected = (one + two) / 2 + (x - y).abs().mean() + ((x - y) ** 2).mean()
    torch.testing.assert_close(loss(x, y), expected)


def test_bad_weights_and_small_pictures_are_refused(tmp_path):
    path = tmp_path / "weights.ckpt"
    path.write_bytes(pickle.dumps({"AlexNet_0": {}}))
    with pytest.raises(UserError, match=r"weights\.ckpt holds no LPIPS weights of alex"):
        Trunk("alex", weights=path)
    heads = [np.ones(layer[0], np.float32) for layer in ALEX]
    trunk = Trunk("alex", weights=save(path, "AlexNet_0", alex(), heads))
    with pytest.raises(ValueError, match="30 x 64 pixels are too small, 31 needed"):
        trunk(torch.zeros(1, 3, 30, 64))
    assert trunk(torch.zeros(1, 3, 31, 31))[-1].numel() > 0


@pytest.mark.slow
def test_vgg_reproduces_the_published_value():
    """torchmetrics' doctest, whose images follow a seed, a VGG-16 with its classifier, and five heads."""
    torch.manual_seed(123)
    vgg(), [nn.Linear(25088, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)]
    [nn.Conv2d(block[-1], 1, 1, bias=False) for block in VGG_BLOCKS]
    x, y = (torch.rand(10, 3, 100, 100) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        assert float(LPIPS("vgg")(x, y).mean()) == pytest.approx(0.3493, abs=5e-5)


@pytest.mark.slow
def test_alex_ranks_blur_below_noise_below_another_picture():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 16:48, 16:48] = torch.rand(1, 3, 8, 8).repeat_interleave(4, -1).repeat_interleave(4, -2)
    blurred = nn.functional.avg_pool2d(image, 3, 1, 1)
    torch.manual_seed(0)
    model = LPIPS("alex")
    with torch.no_grad():
        same, blur, other = (float(model(image, y)) for y in (image, blurred, torch.rand_like(image) * 2 - 1))
    assert same == 0 and 0 < blur < other
