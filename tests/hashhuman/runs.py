"""Run folders as training leaves them, made in a moment: the toy, rendered by a stand-in that errs as it is told."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from hashhuman.avatar.images import RenderedImage
from hashhuman.evaluation.comparisons import Comparisons
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics.protocols import LegacyNVR, MetricProtocol, Strict
from hashhuman.evaluation.product import Product
from hashhuman.evaluation.table import Table
from hashhuman.io.files import save_json
from hashhuman.report.product import Report
from hashhuman.training import run_folder
from hashhuman.training.manifest import Manifest
from tests.hashhuman.fakes import FakeAvatar, FakeData

SPLITS = ["heldout", "novel_view"]
LOG = "epoch,step,train/loss,train/mask,train/residual,val/psnr\n"


def darker(by: float) -> Callable[[RenderedImage], RenderedImage]:
    """An avatar that renders everything darker by a factor."""
    return lambda image: dataclasses.replace(image, rgb=image.rgb * (1 - by))


def run(
    folder: Path,
    subject: Path,
    by: float,
    protocol: MetricProtocol | None = None,
    part: str = "",
    seed: int = 0,
    data: FakeData | None = None,
    **products: Product,
) -> Path:
    """A run whose avatar is darker `by` a factor, with an evaluation in its folder `evaluation/PART`."""
    root = str(folder.absolute())
    content = {
        "format": run_folder.FORMAT,
        "command": ["data=synthetic", f"seed={seed}", "note='<b>'"],
        "seed": seed,
        "run_dir": root,
        "data": {"root": str(subject)},
        "trainer": {"max_steps": 200},
    }
    save_json(folder / "config.json", content)
    Manifest("c" * 64, "d" * 64, "e" * 40, 200, True, True, "f" * 64).save(folder)
    timing = {"setup_s": 1.5, "train_s": 20.0, "validation_s": 2.0, "checkpoint_s": 0.5, "steps": 200}
    save_json(folder / "timing.json", timing | {"marks": [[100, 15.0], [200, 20.0]], "processes": 1, "device": "cpu"})
    lines = [f"0,{step},{1 / (step + 1)},{by},0.0," for step in range(9, 200, 10)]
    lines += [f"0,{step},,,,{20 + step / 50}" for step in (99, 199)]
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "logs/metrics.csv").write_text(LOG + "\n".join(lines) + "\n")
    made = {"table": Table(), "comparisons": Comparisons(1), **products, "report": Report("all", 15)}
    evaluator = Evaluator(protocol or Strict(None), SPLITS, None, False, {}, made)
    evaluator(FakeAvatar(darker(by)), data or FakeData(subject), folder / "evaluation" / part, folder)
    return folder


class Halved(FakeData):
    """The same subject, seen in half the size."""

    def view(self, picture):
        """A whole picture."""
        view = super().view(picture)
        image, mask = view.image[::2, ::2].contiguous(), view.mask[::2, ::2].contiguous()
        return dataclasses.replace(view, image=image, mask=mask, camera=view.camera.scaled(0.5))


def legacy() -> LegacyNVR:
    """Another protocol."""
    return LegacyNVR(None)
