"""Writes .ci/requirements.txt: the exact packages that the checks run with, each with the hashes of its archives.

    python .ci/lock.py             # needs uv (`pip install uv`) and a registry
    python .ci/lock.py --check     # only says whether the file fits pyproject.toml and .ci/advisories.toml

PyTorch is left out, with what comes with it: which build suits is known to the machine, and a machine without a GPU has
installed it beforehand. Packages of the environment that runs this script keep their versions.
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
LOCK = ROOT / ".ci/requirements.txt"
WITH_TORCH = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)")
HEADER = (
    "# Made by .ci/lock.py; not for users, who install from pyproject.toml. Without torch and what comes with it.\n"
)


def blocks(text: str) -> dict[str, str]:
    """The entries of a requirements file by package: a line with its hashes."""
    found = re.findall(r"^[A-Za-z0-9][^\n]*(?:\n[ \t]+--hash[^\n]*)*", text, re.MULTILINE)
    return {re.split(r"[=\[ ;]", block)[0].lower(): block for block in found}


def required() -> set[str]:
    """The packages that pyproject.toml names, with all extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[<>=!;~ ]", text)[0].lower() for each in lists for text in each}
    return {name for name in names if name != project["name"] and not WITH_TORCH.fullmatch(name)}


def write() -> None:
    """Resolves and writes the file."""
    kept = [f"{each.name}=={each.version}" for each in importlib.metadata.distributions() if each.name]
    kept = [text for text in kept if "+" not in text and not text.startswith("hashhuman")]
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch) / "constraints.txt"
        constraints.write_text("\n".join(sorted(set(kept))))
        command = [
            "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--generate-hashes", "--universal", "--quiet",
            "--python-version", "3.11", "--no-annotate", "--no-header", "--no-strip-extras",
            "--constraint", str(constraints),
        ]  # fmt: skip
        text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    chosen = [block for name, block in sorted(blocks(text).items()) if not WITH_TORCH.fullmatch(name)]
    LOCK.write_text(HEADER + "\n".join(chosen) + "\n")


def refused(locked: dict[str, str]) -> list[str]:
    """Packages of the file that an advisory forbids, with the reason."""
    found = []
    for advisory in tomllib.loads((ROOT / ".ci/advisories.toml").read_text())["advisory"]:
        name, bad = advisory["package"], SpecifierSet(advisory["versions"])
        version = re.search(r"==([\w.]+)", locked.get(name, ""))
        if version and version[1] in bad:
            found.append(f"{name} {version[1]}: {advisory['why']}")
    return found


def main() -> None:
    """Writes the file, or checks it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write()
    locked = blocks(LOCK.read_text())
    missing = sorted(required() - locked.keys())
    bare = sorted(name for name, block in locked.items() if "--hash=sha256:" not in block)
    if forbidden := refused(locked):
        sys.exit(f"{LOCK.relative_to(ROOT)} has {'; '.join(forbidden)}.")
    if missing or bare:
        sys.exit(f"{LOCK.relative_to(ROOT)} lacks {missing or 'hashes of ' + str(bare)}: run python .ci/lock.py.")


if __name__ == "__main__":
    main()
