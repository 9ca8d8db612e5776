"""Which of the packages that pyproject.toml names are installed, extra by extra, and whether PyTorch sees the GPU."""

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
OPTIONAL = ("wandb",)  # extras that some option asks for, and most do without


def installed() -> list[Finding]:
    """A finding for each extra that a user may need, and one for PyTorch."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    needed = {CORE: project["dependencies"], "preprocess": project["optional-dependencies"]["preprocess"]}
    optional = {extra: project["optional-dependencies"][extra] for extra in OPTIONAL}
    groups = [check_extra(extra, requirements, Verdict.BAD) for extra, requirements in needed.items()]
    groups += [check_extra(extra, requirements, Verdict.OK) for extra, requirements in optional.items()]
    return [*groups, check_torch()]


def check_extra(extra: str, requirements: Sequence[str], verdict: Verdict) -> Finding:
    """What is installed of an extra, with versions; `verdict` if something is missing or of another version."""
    versions = {name: version_of(name) for name in (Requirement(line).name for line in requirements)}
    wrong = unmet(requirements, versions)
    there = [f"{name} {version}" for name, version in versions.items() if version]
    value = ", ".join([*there, *(f"no {name}" for name, version in versions.items() if not version)])
    what = "." if extra == CORE else f".[{extra}]"
    advice = f"pip install -e '{what}': needs {', '.join(wrong)}"
    return Finding(TOPIC, extra, value, verdict if wrong else Verdict.OK, advice)


def unmet(requirements: Sequence[str], versions: Mapping[str, str | None]) -> list[str]:
    """The requirements that the versions do not meet."""
    parsed = [Requirement(line) for line in requirements]
    return [
        str(requirement)
        for requirement in parsed
        if not (version := versions[requirement.name]) or not requirement.specifier.contains(version, prereleases=True)
    ]


def version_of(package: str) -> str | None:
    """The installed version, if any."""
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
        reason = "the driver is older than that CUDA" if built else "this build of PyTorch is for the CPU alone"
        advice = f"{reason}: install one that suits the driver, as PyTorch's site says"
        return Finding(TOPIC, "PyTorch", f"{torch.__version__}, does not see the GPU", Verdict.WARN, advice)
    return Finding(TOPIC, "PyTorch", f"{torch.__version__}, CPU")
