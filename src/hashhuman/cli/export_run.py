"""The program `python -m hashhuman.export`: loads a finished run and writes files to take away."""

import contextlib
from pathlib import Path

from omegaconf import DictConfig


def export(config: DictConfig) -> None:
    """Exports the run of a config (`conf/export.yaml`), and prints the files' paths."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.checks.requirements import check_requirements
    from hashhuman.export.exporter import FOLDER
    from hashhuman.gpu.device import device_named
    from hashhuman.io import lock
    from hashhuman.training import run, run_folder

    check_requirements(config.export)
    exporter = instantiate(config.export)
    folder = Path(config.run)
    run_folder.check_links(folder)
    module, datamodule, _ = run.load(folder, run_folder.typed_changes(config), targets.admitted(config.admit))
    avatar = module.avatar.to(device_named(config.device, "device"))
    out = folder / FOLDER if config.out is None else Path(config.out).expanduser()
    with lock.alone(folder, inside=True) if config.out is None else contextlib.nullcontext():
        for name, path in exporter(avatar, datamodule, out).items():
            print(f"{name}: {path}", flush=True)
