"""Profiles a training step, a rendered picture and the posing of a body on a GPU, kernel by kernel.

    python benchmarks/profile_step.py SCENE [--steps 700] [--out FILE.md] [-- overrides of train.py]

A scene is a folder in the ZJU-MoCap layout. The kernels come from PyTorch's profiler, sorted by time; the shortest ones
share one line. Figures are microseconds of GPU time per step (or picture), with their sum, the wall-clock time and the
number of launches.
"""

import argparse
import itertools
import logging
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightning as L
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import train as entry  # noqa: E402
from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import markdown  # noqa: E402
from hashhuman.training import run  # noqa: E402
from hashhuman.training.callbacks.carve import Carve  # noqa: E402

SHOWN, PICTURES = 16, 20


def table(title: str, work: Callable[[], object], repeats: int) -> str:
    """Profiles `repeats` calls. Returns a markdown table of the kernels of one call."""
    for _ in range(4):  # after these, all CUDA graphs are captured
        work()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    torch.cuda.synchronize()
    wall = (time.perf_counter() - start) / repeats * 1e6
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
    kernels = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    rows = [(event.key, event.self_device_time_total / repeats, event.count / repeats) for event in kernels]
    busy, launches, rest = sum(row[1] for row in rows), sum(row[2] for row in rows), rows[SHOWN:]
    rows = [*rows[:SHOWN], (f"{len(rest)} others", sum(row[1] for row in rest), sum(row[2] for row in rest))]
    said = f"{wall:.0f} us by the clock, {busy:.0f} us of kernels in {launches:.0f} launches."
    lines = [[f"`{name[:70]}`", f"{us:.0f}", f"{count:.0f}"] for name, us, count in rows if us >= 0.5]
    return f"### {title}\n\n{said}\n\n{markdown(['kernel', 'us', 'launches'], lines)}\n"


def main() -> None:
    """Parses the command line, trains and profiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--out", type=Path)
    known, overrides = cut(sys.argv[1:])
    arguments = parser.parse_args(known)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    entry.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        fixed = ["data=zju_mocap", f"data.root={arguments.scene.resolve()}", "run_dir=unused", "data.val_views=0"]
        config = compose("train", overrides=[*fixed, *overrides])
    L.seed_everything(0, verbose=False)
    module, datamodule = run.build(config)
    callbacks = [callback for callback in instantiate(config.callbacks).values() if isinstance(callback, Carve)]
    trainer = L.Trainer(
        callbacks=callbacks, max_steps=arguments.steps, accelerator="gpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
    )  # fmt: skip
    pages: list[str] = []

    def profile_training() -> None:
        assert module.step is not None
        needs = module.step().needs
        assert needs is not None
        samples = int(needs.samples)
        pages.append(table(f"A training step of {samples} samples", module.step, 20))

    module.on_train_end = profile_training  # type: ignore[method-assign]
    trainer.fit(module, datamodule=datamodule)
    avatar = module.to("cuda").avatar.eval()
    view = datamodule.view((datamodule.splits["novel_view"] or datamodule.splits["train"])[0])
    for scale in (1, 2):
        camera = view.camera.scaled(scale)
        images = avatar.render_images(itertools.repeat(camera), view.pose)
        title = f"A picture of {camera.width} x {camera.height}, the body posed before"
        pages.append(table(title, partial(next, images), PICTURES))
        title = f"A picture of {camera.width} x {camera.height}, the body posed for it"
        pages.append(table(title, partial(avatar.render_image, camera, view.pose), PICTURES))
    pages.append(table("Posing a body, launch by launch", lambda: avatar.scene([view.pose], [-1]), PICTURES))
    page = f"{torch.cuda.get_device_name()}, {arguments.scene.name}, {arguments.steps} steps\n\n" + "\n".join(pages)
    print(page)
    if arguments.out:
        arguments.out.write_text(page)


if __name__ == "__main__":
    main()
