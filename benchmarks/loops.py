"""Compares what `kernels=auto` does on a CPU with plain PyTorch: pictures of a finished run, and steps of its training.

    python benchmarks/loops.py RUN [--pictures 5] [--steps 30] [--out FILE.md]

Both ways are timed in turn, in one process, in seconds of CPU time on one thread, which other programs disturb less
than the time by the clock. The training step is measured after 250 steps on the run's own subject, by when samples are
taken as in the rest of training.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from hydra.utils import instantiate  # noqa: E402
from lightning import Trainer  # noqa: E402
from omegaconf import DictConfig, OmegaConf  # noqa: E402

from benchmarks.tables import markdown  # noqa: E402
from hashhuman.training import run, run_folder  # noqa: E402

ENCODERS = {
    "torch": "hashhuman.encoder.torch_grid.TorchHashGrids",
    "numba": "hashhuman.encoder.numba_grid.NumbaHashGrids",
}
NETWORKS = {"torch": "hashhuman.network.torch_mlp.TorchMLPs", "numba": "hashhuman.network.auto.AutoMLPs"}
BEFORE = 250  # steps


def with_kernels(folder: Path, kernels: str) -> DictConfig:
    """A run's config with other kernels."""

    def replaced(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: kernels if key == "kernels" else replaced(value) for key, value in node.items()}
        return node

    config = OmegaConf.create(replaced(OmegaConf.to_container(run_folder.load_config(folder))))
    config.encoder.backend = {"_target_": ENCODERS[kernels], "_partial_": True}
    config.network = {"_target_": NETWORKS[kernels], "_partial_": True}
    assert isinstance(config, DictConfig)
    return config


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def pictures(folder: Path, count: int) -> list[list[str]]:
    """Rows of the table: pictures of the held-out views."""
    avatars, rows = {}, []
    weights = torch.load(folder / run_folder.CHECKPOINT, map_location="cpu", weights_only=True)["state_dict"]
    for kernels in ENCODERS:
        module, data = run.build(with_kernels(folder, kernels))
        module.load_state_dict(weights)
        avatars[kernels] = module.eval().avatar
    views = [data.view(picture) for picture in (data.splits["heldout"] or data.splits["train"])[:count]]
    for avatar in avatars.values():
        avatar.render_image(views[0].camera, views[0].pose)  # compiles
    seconds: dict[str, list[float]] = {kernels: [] for kernels in avatars}
    images: dict[str, Any] = {}
    errors = []
    for view in views:
        for kernels, avatar in avatars.items():

            def render(kernels: str = kernels, avatar: Any = avatar, view: Any = view) -> None:
                images[kernels] = avatar.render_image(view.camera, view.pose).rgb

            seconds[kernels].append(cpu_seconds(render))
        errors.append((images["torch"] - images["numba"]).square().mean().item())
    camera = views[0].camera
    psnr = -10 * torch.log10(torch.tensor(statistics.mean(errors))).item()
    rows.append([f"picture of {camera.width} x {camera.height}", *shown(seconds), f"{psnr:.0f} dB between both"])
    return rows


def steps(folder: Path, count: int) -> list[str]:
    """A row of the table: steps of training."""
    seconds: dict[str, list[float]] = {}
    for kernels in ENCODERS:
        config = with_kernels(folder, kernels)
        torch.manual_seed(0)
        module, data = run.build(config)
        callbacks = [
            instantiate(config.callbacks[name]) for name in ("carve", "first_sampler") if config.callbacks.get(name)
        ]

        def measure(module: Any = module, kernels: str = kernels) -> None:
            assert module.step is not None
            seconds[kernels] = [cpu_seconds(module.step) for _ in range(count)]

        module.on_train_end = measure  # type: ignore[method-assign]
        trainer = Trainer(
            max_steps=BEFORE, accelerator="cpu", callbacks=callbacks, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        )  # fmt: skip
        trainer.fit(module, datamodule=data)
    return ["training step", *shown(seconds), ""]


def shown(seconds: dict[str, list[float]]) -> list[str]:
    """The medians and their ratio, as text."""
    torch_s, numba_s = (statistics.median(seconds[kernels]) for kernels in ENCODERS)
    return [f"{torch_s:.3f}", f"{numba_s:.3f}", f"{torch_s / numba_s:.2f}"]


def main() -> None:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    rows = [*pictures(given.run, given.pictures), steps(given.run, given.steps)]
    table = markdown(["what", "`kernels=torch` (s)", "`kernels=numba` (s)", "ratio", ""], rows)
    print(table)
    if given.out:
        given.out.write_text(f"{__doc__}\n{table}\n")


if __name__ == "__main__":
    main()
