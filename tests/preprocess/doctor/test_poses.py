"""What the doctor says of a file of poses that another tool found."""

from pathlib import Path

import numpy as np
import pytest

from preprocess.body_fit.imported import ImportedFit
from preprocess.body_fit.native import NativeFit
from preprocess.body_fit.source.gem import Gem
from preprocess.body_fit.source.known import SOURCES, sources_for
from preprocess.doctor.poses import poses
from preprocess.findings import Finding, Verdict
from tests.preprocess.body_fit.source import tools
from tests.preprocess.body_fit.source.tools import HALF, Truth

REPOSITORY = Path(__file__).parents[3]
OPTION = {"gem_x": "gem"}  # of files whose name here is not that of their option


def findings(tool: str, path: Path, pictures: np.ndarray) -> dict[str, Finding]:
    stage = ImportedFit(lambda: pytest.fail("no body is needed"), SOURCES[tool](), str(path))
    return {finding.name: finding for finding in poses([stage], pictures, *HALF)}


def written(tool: str, tmp_path: Path) -> Path:
    tools.DUMP[tool](tmp_path / tool, tools.CONTENT[tool](Truth(0)))
    return tmp_path / tool


def test_every_option_is_known():
    folder = REPOSITORY / "conf" / "preprocess" / "body_fit" / "source"
    assert set(SOURCES) == {path.stem for path in folder.glob("*.yaml")}


@pytest.mark.parametrize("tool", list(tools.CONTENT))
def test_a_file_is_told_by_what_is_in_it(tool: str, tmp_path: Path):
    """One option takes it, and no other."""
    assert sources_for(written(tool, tmp_path), *HALF) == [OPTION.get(tool, tool)]


@pytest.mark.parametrize(
    ("tool", "holds"),
    [
        ("wham", "1 track, angles of smpl, a camera of focal length 367 px"),
        ("gem_x", "1 track, angles of soma, a camera of focal length 367 px"),
        ("prompthmr", "1 track, angles of smplx, a camera of focal length 300 px"),
        ("sam3d_body", "1 track, 29 points on the body, a camera of focal length 250 px"),
        ("multihmr_anny", "1 track, angles of anny and joints, a camera of focal length 277 px"),
        ("amass", "1 track, angles of smpl, a world without camera"),
    ],
)
def test_what_a_file_holds(tool: str, holds: str, tmp_path: Path):
    found = findings(OPTION.get(tool, tool), written(tool, tmp_path), np.arange(8))
    assert found["holds"].value == holds
    assert all(finding.verdict is not Verdict.BAD for finding in found.values())


def test_a_file_of_the_same_tool_without_what_was_asked_for(tmp_path: Path):
    """The option that would take it is the one that is chosen already."""
    content = tools.CONTENT["gem"](Truth(0))
    del content["body_params_global"]
    tools.DUMP["gem"](tmp_path / "gem", content)
    stage = ImportedFit(lambda: pytest.fail("no body is needed"), Gem("world"), str(tmp_path / "gem"))
    [found] = poses([stage], np.arange(8), *HALF)
    assert found.verdict is Verdict.BAD and "has no 'body_params_global'" in (found.advice or "")


def test_how_much_of_the_video_it_covers(tmp_path: Path):
    path = written("wham", tmp_path)  # pictures 2, 3, 4, 6 and 7
    assert findings("wham", path, np.array([2, 3, 4, 6, 7]))["pictures"].verdict is Verdict.OK
    some = findings("wham", path, np.arange(10))["pictures"]
    assert some.verdict is Verdict.WARN and some.value == "50 % of the pictures; numbered 2 to 7"
    assert findings("wham", path, np.arange(100, 200))["pictures"].verdict is Verdict.BAD


def test_the_option_that_takes_it_or_what_is_missing(tmp_path: Path):
    path = written("gem", tmp_path)
    [finding] = findings("wham", path, np.arange(8)).values()
    assert finding.verdict is Verdict.BAD and finding.advice == "use preprocess/body_fit/source=gem"
    content = tools.prompthmr(Truth(0))
    del content["people"][1]["smplx_cam"]["trans"]
    tools.DUMP["prompthmr"](tmp_path / "lacking.pkl", content)
    [finding] = findings("prompthmr", tmp_path / "lacking.pkl", np.arange(8)).values()
    assert finding.verdict is Verdict.BAD and "has no 'trans'" in finding.advice


def test_poses_that_are_fitted_here_have_no_file():
    assert poses([NativeFit(lambda: pytest.fail("no body is needed"), [])], np.arange(8), *HALF) == []
