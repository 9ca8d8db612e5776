"""Whether the weights and body models that the chosen variants load are present and undamaged."""

from collections.abc import Callable, Iterable
from pathlib import Path

from hashhuman.body.model import BodyModel, files_of
from hashhuman.io.assets import LPIPS_ALEX, LPIPS_VGG16, Asset, cache_root, is_whole
from preprocess.findings import Finding, Verdict
from preprocess.stage import Stage

TOPIC = "weights"
EVALUATION = (LPIPS_ALEX, LPIPS_VGG16)  # the evaluation after training loads one of them


def weights(stages: Iterable[Stage], body: Callable[[], BodyModel], root: Path | None = None) -> list[Finding]:
    """A finding for each file that the stages, the body and the evaluation after training need.

    Args:
        stages: the chosen ones.
        body: makes the body model.
        root: the folder that fetched files are cached in; None takes the user's cache.
    """
    stages = list(stages)
    needed = dict.fromkeys(asset for stage in stages for asset in stage.assets())
    fetched = [check_asset(asset, root or cache_root()) for asset in (*needed, *EVALUATION)]
    bodies = [check_body_file(path) for path in files_of(body)]
    return [*fetched, *bodies, *(check_supplied(stage) for stage in stages if stage.missing() is not None)]


def check_asset(asset: Asset, root: Path) -> Finding:
    """Whether an asset is in the cache and undamaged."""
    path = root / asset.filename
    name = path.name
    if not path.exists():
        return Finding(TOPIC, name, f"will be fetched with {asset.package} from {asset.package.registry}")
    size = f"{path.stat().st_size / 1e6:.1f} MB, {path}"
    if not is_whole(asset, path):
        return Finding(TOPIC, name, f"damaged: {size}", Verdict.BAD, "delete it, and it will be fetched again")
    return Finding(TOPIC, name, f"checked: {size}")


def check_body_file(path: Path) -> Finding:
    """Whether a file of the user's own body model exists."""
    if not path.is_file():
        advice = "put it there, or name its folder with body.root= (see docs/preprocessing.md)"
        return Finding(TOPIC, path.name, f"missing: {path}", Verdict.BAD, advice)
    return Finding(TOPIC, path.name, f"yours: {path.stat().st_size / 1e6:.1f} MB, {path}")


def check_supplied(stage: Stage) -> Finding:
    """A finding on what a stage lacks that only the user can supply."""
    return Finding(TOPIC, stage.name, "missing", Verdict.BAD, stage.missing() or "")
