"""Torchmetrics without the large packages that some of its metrics use."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from hashhuman.cli.light_torchmetrics import make_light

LARGE = {
    "large_one/__init__.py": "import builtins\nbuiltins.large_ones = ['large_one']\nfactor = 3\n",
    "large_one/models.py": (
        "import builtins\nbuiltins.large_ones += ['models']\n"
        "def net(x):\n    return 2 * x\n"
        "class Weights:\n    first = 'one'\n"
    ),
}  # fmt: skip
USER = (
    "import importlib.util\n"
    "import large_one\nfrom large_one import models\nfrom large_one.models import Weights, net\n"
    "installed = importlib.util.find_spec('large_one') is not None\n"
)  # fmt: skip


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, text in (LARGE | {"using.py": USER}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.large_ones", [], raising=False)
    finders = [*sys.meta_path]
    yield
    sys.meta_path[:] = finders
    for name in ("using", "large_one", "large_one.models"):
        sys.modules.pop(name, None)


def imported() -> list[str]:
    import builtins

    return builtins.large_ones  # type: ignore[attr-defined]


def test_large_packages_are_imported_when_they_are_used(packages):
    make_light("using", ["large_one", "absent"])
    using = importlib.import_module("using")
    assert using.installed and imported() == [] and not {"large_one", "large_one.models"} & {*sys.modules}
    assert using.net(4) == 8 and imported() == ["large_one", "models"]
    assert using.Weights.first == "one" and using.large_one.factor == 3 and using.models.net(1) == 2
    real = importlib.import_module("large_one.models")
    assert real.net(2) == 4 and imported() == ["large_one", "models"]


def test_what_was_imported_before_stays(packages):
    real = importlib.import_module("large_one")
    make_light("using", ["large_one"])
    assert importlib.import_module("using").large_one is real is sys.modules["large_one"]


def test_a_missing_module_is_still_missing(packages):
    make_light("not_there_at_all", ["large_one"])
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        importlib.import_module("not_there_at_all")


def test_torchmetrics_itself_imports_neither(tmp_path: Path):
    """With packages of these names, which count as installed and fail when they are imported."""
    for name in ("transformers", "torchvision"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('it was imported')\n")
        (tmp_path / f"{name}-9.9.dist-info").mkdir()
        (tmp_path / f"{name}-9.9.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from hashhuman.cli.light_torchmetrics import make_light\n"
        "if sys.argv[1:]: make_light()\n"
        "import lightning, torchmetrics\n"
        "assert torchmetrics.utilities.imports._TORCHVISION_AVAILABLE\n"
        "assert not {'transformers', 'torchvision', 'torchvision.models'} & {*sys.modules}\n"
        "assert torchmetrics.MeanMetric()(3.0) == 3\n"
    )
    light = subprocess.run([sys.executable, "-c", script, "light"], capture_output=True, text=True)
    assert light.returncode == 0, light.stderr
    without = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "it was imported" in without.stderr  # or else this test says nothing
