"""Times the pictures of a finished run on a CPU: those of held-out frames, and the products of an evaluation.

    python benchmarks/pictures.py RUN [--subject FOLDER] [--threads 2] [--checkout FOLDER] [--slow] [--save FILE]
                                  [--against FILE]

`computing` is the CPU time of all threads, which other programs disturb less than the time by the clock. `--checkout`
takes the code of another revision, which must be able to read the run. `--save` keeps the held-out pictures, and
`--against` compares them with those that were kept: `--slow --save FILE` keeps those of plain PyTorch.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of computing, that a call takes."""
    clock, computing = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - computing


def plain(node: Any) -> Any:
    """The config with every option `kernels` set to torch."""
    if isinstance(node, dict):
        return {name: "torch" if name == "kernels" else plain(value) for name, value in node.items()}
    return [plain(value) for value in node] if isinstance(node, list) else node


def loaded(folder: Path, subject: Path | None, slow: bool) -> tuple[Any, Any, Any]:
    """Avatar, data and config of a run; `slow`: in plain PyTorch, with each ray rendered in one round."""
    import torch
    from omegaconf import OmegaConf

    from hashhuman.training import run, run_folder

    config: Any = run_folder.load_config(folder)
    if subject:
        config.data.root = str(subject)
    if slow:
        config = OmegaConf.create(plain(OmegaConf.to_container(config)))
        config.encoder.backend = {"_target_": "hashhuman.encoder.torch_grid.TorchHashGrids", "_partial_": True}
        config.network = {"_target_": "hashhuman.network.torch_mlp.TorchMLPs", "_partial_": True}
        config.renderer.front_bins, config.renderer.chunk = 1 << 20, 1 << 14
    module, data = run.build(config)
    weights = torch.load(folder / run_folder.CHECKPOINT, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(weights)
    return module.eval().avatar, data, config


def show(what: str, seconds: tuple[float, float]) -> None:
    """Prints a line."""
    print(f"{what}: {seconds[0]:.2f} s by the clock, {seconds[1]:.2f} s of computing", flush=True)


def main() -> None:
    """Parses the command line and prints the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--subject", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkout", type=Path, default=ROOT)
    parser.add_argument("--slow", action="store_true", help="held-out pictures only, in plain PyTorch")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    sys.path[:0] = [str(given.checkout), str(given.checkout / "src")]
    warnings.filterwarnings("ignore")
    import torch
    from hydra.utils import instantiate

    torch.set_num_threads(given.threads)
    avatar, data, config = loaded(given.run, given.subject, given.slow)
    views = [data.view(picture) for picture in data.splits["heldout"] or data.splits["train"]]
    poses = [avatar.refined_pose(view.pose, view.number) for view in views]
    avatar.render_image(views[0].camera, poses[0])  # compiles
    pictures: list[torch.Tensor] = []
    times = [
        timed(lambda view=view, pose=pose: pictures.append(avatar.render_image(view.camera, pose, view.frame).rgb))
        for view, pose in zip(views, poses)
    ]
    camera = views[0].camera
    clock, computing = (statistics.median(each) for each in zip(*times))
    show(f"a held-out picture of {camera.width} x {camera.height} (median of {len(views)})", (clock, computing))
    found = torch.stack(pictures)
    if given.save:
        torch.save(found, given.save)
    if given.against:
        error = (found - torch.load(given.against, weights_only=True)).square().mean()
        print(f"PSNR against {given.against.name}: {-10 * torch.log10(error):.1f} dB")
    if given.slow:
        return
    config.eval.products.export = config.eval.products.report = None
    config.eval.export = []
    evaluator = instantiate(config.eval)
    for name, product in evaluator.products.items():
        product.make = lambda evaluation, name=name, make=product.make: watched(name, make, evaluation)
    with tempfile.TemporaryDirectory() as folder:
        show("the whole evaluation", timed(lambda: evaluator(avatar, data, Path(folder))))


def watched(name: str, make: Callable[[Any], Any], evaluation: Any) -> Any:
    """What a product has made; prints how long that took, and the means of the metrics before the first one."""
    made: list[Any] = []
    show(name, timed(lambda: made.append(make(evaluation))))
    if name == "table":
        for split, result in evaluation.report["splits"].items():
            print(f"{split}:", {key: round(value, 3) for key, value in result["mean"].items()})
    return made[0]


if __name__ == "__main__":
    main()
