"""Names and shapes of the tensors of upstream's checkpoints (networks/AugmentCE2P.py there), spelled out."""

import numpy as np

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Shapes:
    return {f"{name}.{field}": (channels,) for field in ("weight", "bias", "running_mean", "running_var")}


def bottleneck(name: str, inputs: int, width: int, first: bool) -> Shapes:
    shapes = {f"{name}.conv1.weight": (width, inputs, 1, 1)} | norm(f"{name}.bn1", width)
    shapes |= {f"{name}.conv2.weight": (width, width, 3, 3)} | norm(f"{name}.bn2", width)
    shapes |= {f"{name}.conv3.weight": (4 * width, width, 1, 1)} | norm(f"{name}.bn3", 4 * width)
    if first:
        shapes |= {f"{name}.downsample.0.weight": (4 * width, inputs, 1, 1)} | norm(f"{name}.downsample.1", 4 * width)
    return shapes


def upstream(classes: int, blocks: tuple[int, ...] = (3, 4, 23, 3)) -> Shapes:
    """Shape by name; ResNet-101 unless `blocks` says otherwise."""
    shapes: Shapes = {"conv1.weight": (64, 3, 3, 3), "conv2.weight": (64, 64, 3, 3), "conv3.weight": (128, 64, 3, 3)}
    shapes |= norm("bn1", 64) | norm("bn2", 64) | norm("bn3", 128)
    inputs = 128
    for number, (width, count) in enumerate(zip((64, 128, 256, 512), blocks), 1):
        for block in range(count):
            shapes |= bottleneck(f"layer{number}.{block}", inputs, width, first=block == 0)
            inputs = 4 * width
    for stage in range(4):
        shapes[f"context_encoding.stages.{stage}.1.weight"] = (512, 2048, 1, 1)
        shapes |= norm(f"context_encoding.stages.{stage}.2", 512)
    shapes |= {"context_encoding.bottleneck.0.weight": (512, 4096, 3, 3)} | norm("context_encoding.bottleneck.1", 512)
    for number, channels in ((1, 256), (2, 512), (3, 1024)):
        shapes |= {f"edge.conv{number}.0.weight": (256, channels, 1, 1)} | norm(f"edge.conv{number}.1", 256)
    shapes |= {"edge.conv4.weight": (2, 256, 3, 3), "edge.conv4.bias": (2,)}
    shapes |= {"edge.conv5.weight": (2, 6, 1, 1), "edge.conv5.bias": (2,)}
    for number, (outputs, channels) in {1: (256, 512), 2: (48, 256)}.items():
        shapes |= {f"decoder.conv{number}.0.weight": (outputs, channels, 1, 1)} | norm(
            f"decoder.conv{number}.1", outputs
        )
    shapes |= {"decoder.conv3.0.weight": (256, 304, 1, 1)} | norm("decoder.conv3.1", 256)
    shapes |= {"decoder.conv3.2.weight": (256, 256, 1, 1)} | norm("decoder.conv3.3", 256)
    shapes |= {"decoder.conv4.weight": (classes, 256, 1, 1), "decoder.conv4.bias": (classes,)}
    shapes |= {"fushion.0.weight": (256, 1024, 1, 1)} | norm("fushion.1", 256)
    return shapes | {"fushion.3.weight": (classes, 256, 1, 1), "fushion.3.bias": (classes,)}


def random_weights(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights that keep the size of what passes, normalisations with gains of both signs; float32."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes.items():
        value = rng.standard_normal(shape, np.float32)
        if name.endswith("running_var"):
            value = 0.5 + np.abs(value)
        elif len(shape) == 4:
            value *= np.float32(1.4 / np.sqrt(np.prod(shape[1:])))
        weights[name] = value
    return weights
