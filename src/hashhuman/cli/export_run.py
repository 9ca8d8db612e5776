"""The program `python -m hashhuman.export`: loads a finished run and writes files to take away."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig


def export(config: DictConfig) -> None:
    """Exports the run of a config (`conf/export.yaml`), and prints the files' paths."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.checks.requirements import check_requirements
    from hashhuman.checks.types import check_types
    from hashhuman.gpu.device import device_named
    from hashhuman.io import interruption
    from hashhuman.training import run, run_folder

    check_types(config.export, "export")
    check_requirements(config.export)
    exporter = instantiate(config.export)
    folder = Path(config.run)
    run_folder.check_links(folder)
    module, datamodule, _ = run.load(folder, run_folder.typed_changes(config), targets.admitted(config.admit))
    avatar = module.avatar.to(device_named(config.device, "device"))
    out = folder / run_folder.EXPORT if config.out is None else Path(config.out).expanduser()
    with _part_of_the_run(folder) if config.out is None else contextlib.nullcontext():
        made = exporter(avatar, datamodule, out)
        interruption.check()
    for name, path in made.items():
        print(f"{name}: {path}", flush=True)


@contextlib.contextmanager
def _part_of_the_run(folder: Path) -> Iterator[None]:
    """Context that writes the run's folder `export`: with its lock, and in the end listed in its manifest."""
    from hashhuman.io import interruption, leftovers, lock
    from hashhuman.training.manifest import Manifest
    from hashhuman.training.run_folder import EXPORT

    with lock.alone(folder, inside=True), interruption.advising("the same command exports it anew"):
        leftovers.sweep(folder)
        manifest = Manifest.existing(folder)
        manifest.forget(EXPORT)
        manifest.save(folder)  # what an earlier export left there counts no longer
        yield
        manifest.add_below(folder, EXPORT)
        manifest.save(folder)
