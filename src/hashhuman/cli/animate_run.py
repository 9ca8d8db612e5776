"""The program `python -m hashhuman.animate`: loads a finished run and a motion, and animates the avatar with it."""

import contextlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hashhuman.errors import UserError


def animate(config: DictConfig) -> None:
    """Animates the run of a config (`conf/animate.yaml`), and prints the files' paths."""
    from hydra.utils import instantiate  # only after Hydra has checked the command line: these imports take seconds

    from hashhuman.checks import targets
    from hashhuman.checks.requirements import check_requirements
    from hashhuman.checks.types import check_types
    from hashhuman.gpu.device import device_named
    from hashhuman.io import interruption
    from hashhuman.training import resume, run, run_folder, run_parts

    check_types(config.animate, "animate")
    check_requirements(config.animate)
    animator = instantiate(config.animate)
    folder, source = Path(config.run), Path(config.motion).expanduser()
    run_folder.check_links(folder)
    admitted = targets.admitted(config.admit)
    name, clip = motion_of(config, source, admitted)
    module, datamodule, _ = run.load(folder, run_folder.typed_changes(config), admitted)
    resume.tell_of_changed_subject(folder, datamodule.subject)
    avatar = module.avatar.to(device_named(config.device, "device"))
    out = folder / run_folder.ANIMATE / name if config.out is None else Path(config.out).expanduser()
    with contextlib.ExitStack() as stack:
        stack.enter_context(interruption.advising("the same command animates it anew"))
        if config.out is None:
            stack.enter_context(run_parts.written_anew(folder, f"{run_folder.ANIMATE}/{name}"))
        made = animator(avatar, datamodule, name, clip, out)
        interruption.check()
    for kind, path in made.items():
        print(f"{kind}: {path}", flush=True)


def motion_of(config: DictConfig, source: Path, admitted: Any) -> tuple[str, Any]:
    """The name of a motion and its `Clip`: a file's, or what another run filmed.

    Args:
        config: with `motion_fps`, `motion_root`, `clip` and `animate`, as in `conf/animate.yaml`.
        source: the file, or the folder of the run.
        admitted: the classes that the run may name.

    Raises:
        UserError: if it cannot be read.
    """
    from hashhuman.animate.clip import clip_of
    from hashhuman.animate.readers.read import read
    from hashhuman.export.motion import Skeleton, captured
    from hashhuman.training import resume, run

    if not source.is_dir():
        return source.stem, read(source, config.motion_fps, config.clip)
    moved = {} if config.motion_root is None else {"data": {"root": config.motion_root}}
    try:
        module, datamodule, _ = run.load(source, OmegaConf.create(moved), admitted)
    except UserError as error:
        hint = str(error).replace("data.root=", "motion_root=")
        raise UserError(f"motion={source}: {hint}") from None
    resume.tell_of_changed_subject(source, datamodule.subject)
    motion = captured(module.avatar, datamodule, config.animate.exporter.fps)
    return source.resolve().name, clip_of(motion, Skeleton.of(datamodule.subject.template()))
