"""The text of --help: how to call the program, and one line on each group of options."""

from collections.abc import Iterable
from pathlib import Path

LINE = "_help.txt"  # the file with a group's line, in the folder of the group
FLAGS = """flags
  -m, --multirun    a sweep over comma-separated values
  --cfg job         print the options with their values instead of running
  --hydra-help      all flags of Hydra"""


def help_text(config_folder: Path, config_name: str, chosen: Iterable[str]) -> str:
    """The help of one program, as a template for Hydra, in which `$` is doubled.

    Args:
        config_folder: the folder with the root config and the groups.
        config_name: the name of the root config, whose leading comment says how to call the program.
        chosen: the groups in the root config's defaults, as Hydra names them.
    """
    intro = usage(config_folder / f"{config_name}.yaml")
    lines = [line for group in groups(config_folder, chosen) for line in _about(config_folder, group)]
    parts = [intro, "groups of options: GROUP=CHOICE", *lines, "", _single(config_name), "", FLAGS]
    return "\n".join(parts).replace("$", "$$")


def usage(root: Path) -> str:
    """The leading comment of a root config."""
    lines = []
    for line in root.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join([*lines, ""])


def groups(config_folder: Path, chosen: Iterable[str]) -> list[str]:
    """The groups in the defaults and the groups inside them, without Hydra's own."""
    found = set()
    for key in chosen:
        group = key.partition("@")[0].strip("/")
        if not group.startswith("hydra/"):
            found.update(path.parent for path in (config_folder / group).glob("**/*.yaml"))
    return sorted(path.relative_to(config_folder).as_posix() for path in found)


def options(config_folder: Path, group: str) -> list[str]:
    """The choices of a group. Files whose names begin with an underscore are only included by others."""
    return sorted(path.stem for path in (config_folder / group).glob("*.yaml") if not path.stem.startswith("_"))


def _about(config_folder: Path, group: str) -> list[str]:
    line = (config_folder / group / LINE).read_text(encoding="utf-8").strip()
    return [f"  {group:<26}  {line}", f"  {'':<26}  {' | '.join(options(config_folder, group))}"]


def _single(config_name: str) -> str:
    return f"single options: OPTION=VALUE; conf/{config_name}.yaml and the groups' files list all of them"
