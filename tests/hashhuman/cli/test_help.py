"""--help: usage first, then a line for each group."""

import subprocess
import sys
from pathlib import Path

import pytest

from hashhuman.cli import help

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf"
GROUPS = sorted({path.parent.relative_to(CONF).as_posix() for path in CONF.glob("*/**/*.yaml")})


@pytest.mark.parametrize("group", [group for group in GROUPS if not group.startswith("hydra/")])
def test_every_group_has_one_line(group: str):
    lines = (CONF / group / help.LINE).read_text().splitlines()
    assert len(lines) == 1 and 10 < len(lines[0]) <= 100 and not lines[0].endswith(".")


@pytest.mark.parametrize(("root", "example"), [("train", "train.py"), ("eval", "eval.py"), ("preprocess", "-m prep")])
def test_every_program_says_how_to_call_it(root: str, example: str):
    assert f"python {example}" in help.usage(CONF / f"{root}.yaml")
    assert "override hydra/help: groups" in (CONF / f"{root}.yaml").read_text()


def test_groups_and_their_choices():
    text = help.help_text(CONF, "train", ["data", "encoder", "preprocess", "body@_global_.body", "hydra/launcher"])
    lines = text.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith(("   ", "  -"))]
    assert {"data", "encoder", "body", "preprocess/keypoints", "preprocess/body_fit/source"} <= set(names)
    assert "hydra/launcher" not in names and names == sorted(names)
    options = lines[[line.split()[:1] for line in lines].index(["data"]) + 1].strip()
    assert options == "instant_avatar | monocular | neuman | people_snapshot | synthetic | zju_mocap"


def test_dollars_survive_hydras_template(tmp_path: Path):
    (tmp_path / "root.yaml").write_text("# costs $5\n\na: 1\n")
    assert help.help_text(tmp_path, "root", []).startswith("costs $$5\n")


def test_from_the_shell_and_from_any_folder(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--help", "experiment=cpu"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.index("python train.py video=foo") < done.stdout.index("groups of options")
    assert "auto | numba | tinycudann | torch | triton" in done.stdout and "== Config ==" not in done.stdout
    assert list(tmp_path.iterdir()) == []
