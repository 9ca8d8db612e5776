"""Learns the network of `preprocess/masks/matting.py` from ground-truth videos, and writes its `matting.npz`.

    python benchmarks/matting.py SCENE=SUBJECT [SCENE=SUBJECT ...] [--seconds 240]

A scene is a folder of `make_scene.py --video`, and a subject what `python -m preprocess` made of its video with
`preprocess.masks.matting=false`. Do not use scenes on which results are reported. The network's target is the exact
coverage; windows are also turned and mirrored.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hashhuman.data.spacing import evenly_spaced
from hashhuman.data.subject import Subject
from preprocess.masks import matting
from preprocess.masks.plate import measure_plate

MAPS = 9  # in a window
HIDDEN = 64
BATCH = 2048
RATE = 2e-3
SHARE = 0.6  # of the band's pixels that are kept


def examples(scene: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N x D) and exact coverage (N) of the pixels near the outlines of every second picture."""
    subject, truth = Subject(folder), Subject(scene)
    exact = {picture.frame: picture for picture in truth.pictures if picture.camera == 0}
    numbers = subject.meta["video"]["pictures"]
    plate = measure_plate(subject, evenly_spaced(subject.pictures, 40))
    rng, inputs, targets = np.random.default_rng(0), [], []
    for picture in subject.pictures[::2]:
        mask = subject.mask(picture)
        pixels = np.argwhere(matting.band(mask) & plate.known)
        pixels = pixels[rng.random(len(pixels)) < SHARE]
        maps = matting.evidence(subject.image(picture), mask, plate)
        inputs.append(matting.windows(maps, pixels).astype(np.float16))
        targets.append(truth.mask(exact[numbers[picture.frame]])[tuple(pixels.T)])
    return np.concatenate(inputs), np.concatenate(targets)


def turned(inputs: Tensor) -> Tensor:
    """The same examples with their windows turned and mirrored at random, all alike."""
    window = inputs[:, :-1].reshape(-1, matting.WINDOW, matting.WINDOW, MAPS)
    window = torch.rot90(window, int(torch.randint(4, ())), (1, 2))
    window = window.flip(1) if torch.rand(()) < 0.5 else window
    return torch.cat([window.flatten(1), inputs[:, -1:]], 1)


def learn(inputs: Tensor, targets: Tensor, seconds: float) -> dict[str, np.ndarray]:
    """Trains for a time and returns the arrays of a `MattingNetwork`."""
    torch.manual_seed(0)
    sample = inputs[:: max(1, len(inputs) // 20000)].float()
    mean, scale = sample.mean(0), sample.std(0) + 0.05
    layers = [nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, 1)]
    network = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    start, steps = time.monotonic(), 0
    while (done := (time.monotonic() - start) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = RATE * (1 - done) + 1e-5
        chosen = torch.randint(len(inputs), (BATCH,))
        estimate = network((turned(inputs[chosen].float()) - mean) / scale)[:, 0]
        loss = nn.functional.smooth_l1_loss(estimate, targets[chosen], beta=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    print(f"{len(inputs)} pixels, {steps} steps, last loss {float(loss.detach()):.4f}")
    arrays = {"mean": mean, "scale": scale}
    for index, layer in enumerate(layers):
        arrays |= {f"weight{index}": layer.weight.detach(), f"bias{index}": layer.bias.detach()}
    return {name: array.numpy().astype(np.float16) for name, array in arrays.items()}


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", help="SCENE=SUBJECT")
    parser.add_argument("--seconds", type=float, default=240)
    arguments = parser.parse_args()
    made = [examples(*map(Path, pair.split("=", 1))) for pair in arguments.pairs]
    inputs, targets = (torch.from_numpy(np.concatenate(parts)) for parts in zip(*made))
    np.savez_compressed(matting.WEIGHTS, allow_pickle=False, **learn(inputs, targets, arguments.seconds))


if __name__ == "__main__":
    main()
