"""Which of the packages named in pyproject.toml are installed, and whether PyTorch can use the GPU."""

import importlib.metadata
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from packaging.requirements import Requirement

from preprocess.findings import Finding, Verdict

TOPIC = "installed"
CORE = "core"
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
DRIVER = Path("/proc/driver/nvidia")
OPTIONAL = ("datasets", "export", "slurm", "view", "wandb")  # extras that only some options or programs need


def installed() -> list[Finding]:
    """One finding for the core packages, one for each extra that a user may need, and one for PyTorch."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    needed = {CORE: project["dependencies"], "preprocess": project["optional-dependencies"]["preprocess"]}
    optional = {extra: project["optional-dependencies"][extra] for extra in OPTIONAL}
    groups = [check_extra(extra, requirements, Verdict.BAD) for extra, requirements in needed.items()]
    groups += [check_extra(extra, requirements, Verdict.OK) for extra, requirements in optional.items()]
    return [*groups, check_torch()]


def check_extra(extra: str, requirements: Sequence[str], verdict: Verdict) -> Finding:
    """Which packages of an extra are installed, with their versions.

    Args:
        extra: its name.
        requirements: its lines in pyproject.toml.
        verdict: if a package is missing, or has a version that does not meet its requirement. With OK, which shows no
            advice, the value says how to install it.
    """
    versions = {name: version_of(name) for name in (Requirement(line).name for line in requirements)}
    wrong = unmet(requirements, versions)
    there = [f"{name} {version}" for name, version in versions.items() if version]
    value = ", ".join([*there, *(f"no {name}" for name, version in versions.items() if not version)])
    what = "." if extra == CORE else f".[{extra}]"
    install = f"pip install -e '{what}'"
    if wrong and verdict is Verdict.OK:
        value += f": {install} if you want it"
    advice = f"{install}: needs {', '.join(wrong)}"
    return Finding(TOPIC, extra, value, verdict if wrong else Verdict.OK, advice)


def unmet(requirements: Sequence[str], versions: Mapping[str, str | None]) -> list[str]:
    """The requirements that the installed versions (None: not installed) do not meet."""
    parsed = [Requirement(line) for line in requirements]
    return [
        str(requirement)
        for requirement in parsed
        if not (version := versions[requirement.name]) or not requirement.specifier.contains(version, prereleases=True)
    ]


def version_of(package: str) -> str | None:
    """The installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_torch() -> Finding:
    """Whether PyTorch can use the GPU that the machine has."""
    built = torch.version.cuda
    if torch.cuda.is_available():
        return Finding(TOPIC, "PyTorch", f"{torch.__version__}, CUDA {built}")
    if DRIVER.exists():
        reason = "the driver is too old for this CUDA" if built else "this build of PyTorch is for the CPU only"
        advice = f"{reason}: install a build for your driver, as described on pytorch.org"
        return Finding(TOPIC, "PyTorch", f"{torch.__version__}, does not see the GPU", Verdict.WARN, advice)
    return Finding(TOPIC, "PyTorch", f"{torch.__version__}, CPU")
