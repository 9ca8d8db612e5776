"""The program `python -m hashhuman.export`: loads a finished run and writes files to take away."""

import contextlib
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
    from hashhuman.training import resume, run, run_folder, run_parts

    check_types(config.export, "export")
    check_requirements(config.export)
    exporter = instantiate(config.export)
    folder = Path(config.run)
    run_folder.check_links(folder)
    module, datamodule, _ = run.load(folder, run_folder.typed_changes(config), targets.admitted(config.admit))
    resume.tell_of_changed_subject(folder, datamodule.subject)
    avatar = module.avatar.to(device_named(config.device, "device"))
    out = folder / run_folder.EXPORT if config.out is None else Path(config.out).expanduser()
    with contextlib.ExitStack() as stack:
        stack.enter_context(interruption.advising("the same command exports it anew"))
        if config.out is None:
            stack.enter_context(run_parts.written_anew(folder, run_folder.EXPORT))
        made = exporter(avatar, datamodule, out)
        interruption.check()
    for name, path in made.items():
        print(f"{name}: {path}", flush=True)
