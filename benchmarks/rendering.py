"""Measures how fast a finished run renders pictures, and compares them with those of the slow reference path."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from benchmarks.tables import Row
from hashhuman.avatar.model import HashGridAvatar
from hashhuman.body.standing import upward
from hashhuman.body.visibility import world_vertices
from hashhuman.data.datamodule import View
from hashhuman.evaluation.metrics.image import psnr
from hashhuman.evaluation.metrics.protocols import to_8bit
from hashhuman.evaluation.orbit import orbit
from hashhuman.evaluation.product import spread
from hashhuman.geometry.camera import Camera
from hashhuman.io import checkpoint
from hashhuman.renderer.shell_sampler import ALL_BINS
from hashhuman.training import run, run_folder

WARM_UP = 5  # pictures before timing starts
SLOW_CHUNK = 1 << 14  # rays at a time without kernels; small, since plain PyTorch needs large temporary arrays


def on_an_orbit(folder: Path, sizes: Sequence[int], views: int) -> Iterator[Row]:
    """Times pictures on an orbit around a run's person: in one pose, and in a new pose for every picture."""
    module, data, _ = run.load(folder)
    avatar = module.avatar.to(_device())
    train_pictures = data.splits["train"]
    poses = [data.subject.pose(picture.frame).to(avatar.device) for picture in train_pictures[:views]]
    vertices = world_vertices(data.subject.template().to(avatar.device), poses[0])
    filmed = [data.subject.pose(picture.frame) for picture in train_pictures]
    up = upward(data.subject.template(), filmed).to(avatar.device)
    toward = data.subject.camera(train_pictures[0].camera).to(avatar.device).center - vertices.mean(0)
    for size in sizes:
        cameras = [square(camera, size) for camera in orbit(vertices, up, toward, views, size)]
        kept = avatar.render_images(itertools.cycle(cameras), poses[0])
        ways: dict[str, Callable[[int], Any]] = {
            "the same": lambda i, kept=kept: next(kept),
            "a new one": lambda i, cameras=cameras: avatar.render_image(cameras[i], poses[i % len(poses)]),
        }
        for pose, picture in ways.items():
            yield {"size": size, "pose": pose, **timed(picture, views)}


def compared(folder: Path, most: int) -> Row:
    """Times novel views, each in its own pose, and compares their PSNR with that of the slow path.

    `slow psnr_full` is the PSNR of plain PyTorch, with each ray rendered in one round. `unpruned psnr_full` is the same
    with all cells of canonical space sampled, including those that training found empty.
    """
    module, data, _ = run.load(folder)
    avatar = module.avatar.to(_device())
    views = [data.view(picture) for picture in spread(data.splits["novel_view"] or data.splits["train"], most)]
    row = timed(lambda i: _picture(avatar, views[i]), len(views))
    quality = {"psnr_full": _psnr(avatar, views)}
    avatar = slow(folder).to(_device())
    quality["slow psnr_full"] = _psnr(avatar, views)
    avatar.occupancy.marked.fill_(1)
    quality["unpruned psnr_full"] = _psnr(avatar, views)
    return {"size": max(views[0].image.shape), "pose": "each novel view's", **row, **quality}


def slow(folder: Path) -> HashGridAvatar:
    """A run's avatar without Triton kernels, which renders each ray in one round."""
    config: Any = OmegaConf.create(_without_kernels(OmegaConf.to_container(run_folder.load_config(folder))))
    config.encoder.backend = {"_target_": "hashhuman.encoder.torch_grid.TorchHashGrids", "_partial_": True}
    config.network = {"_target_": "hashhuman.network.torch_mlp.TorchMLPs", "_partial_": True}
    config.renderer.front_bins, config.renderer.chunk = ALL_BINS[1], SLOW_CHUNK
    module, _ = run.build(config)
    module.load_state_dict(checkpoint.load(folder / run_folder.CHECKPOINT)["state_dict"])
    return module.eval().avatar


def _without_kernels(node: Any) -> Any:
    """The config with every option `kernels` set to torch."""
    if isinstance(node, dict):
        return {name: "torch" if name == "kernels" else _without_kernels(value) for name, value in node.items()}
    return [_without_kernels(value) for value in node] if isinstance(node, list) else node


def timed(picture: Callable[[int], Any], count: int) -> Row:
    """Times `count` pictures; the host waits for each of them."""
    for i in range(min(WARM_UP, count)):
        picture(i)
    seconds = []
    for i in range(count):
        _wait()
        start = time.perf_counter()
        picture(i)
        _wait()
        seconds.append(time.perf_counter() - start)
    return {
        "pictures": count, "per_second": count / sum(seconds), "median_ms": 1000 * statistics.median(seconds),
        "slowest_ms": 1000 * max(seconds), "device": _device_name(),
    }  # fmt: skip


def square(camera: Camera, size: int) -> Camera:
    """The camera with a picture of `size` x `size` pixels and the principal point in the middle."""
    K = camera.K.clone()
    K[:2, 2] = (size - 1) / 2
    return dataclasses.replace(camera, K=K, height=size, width=size)


def _picture(avatar: HashGridAvatar, view: View) -> Any:
    return avatar.render_image(view.camera, view.pose, view.frame)


def _psnr(avatar: HashGridAvatar, views: Sequence[View]) -> float:
    return statistics.fmean(psnr(to_8bit(_picture(avatar, view).rgb), view.image.to(avatar.device)) for view in views)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
