"""A stage that is stopped in its middle goes on from there, and ends with the same files as one that is not."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

pytest.importorskip("igl")

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io.files import write_image
from preprocess.blend_weights import BlendWeightVolumes
from preprocess.keypoints import blazepose, cameras, folder
from preprocess.keypoints.points import Keypoints
from preprocess.masks import blazepose as blazepose_masks
from preprocess.stage import Stage, is_finished, run_stages, unfinished
from tests import toy
from tests.preprocess import actors
from tests.preprocess.masks.clip import film
from tests.preprocess.strikes import Stopped, Strike, contents

PICTURES = 30


def goes_on(stage: Callable[[], Stage], begun: Path, strike: Strike, work: Strike, most_again: int = 1) -> None:
    """Asserts that the stage, stopped by the strike and begun again, repeats at most `most_again` calls of `work`."""
    whole = Path(shutil.copytree(begun, begun.with_name("whole"), symlinks=True))
    with strike.suspended():
        run_stages([stage()], whole)
        needed, work.calls = work.calls, 0
    with pytest.raises(Stopped):
        run_stages([stage()], begun)
    assert not is_finished(stage(), begun) and work.calls > 0
    run_stages([stage()], begun)
    assert needed <= work.calls <= needed + most_again
    assert contents(begun) == contents(whole)
    assert is_finished(stage(), begun) and not list(begun.rglob("*.unfinished"))


def resumed_at(*points: tuple[object, str, int]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("owner", "name", "at"), points)


@pytest.fixture
def filmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A subject of pictures of two actors, with networks that see them."""
    script = [{"person": (100.25 + 3 * t, 120), "bystander": (260, 100)} for t in range(PICTURES)]
    script[11:13] = [{}] * 2
    for module in (blazepose, cameras):
        monkeypatch.setattr(module, "MoveNets", lambda: actors.FakeMoveNet(script))
    for module, name in ((blazepose, "PoseNetwork"), (blazepose, "PoseNetworks"), (folder, "PoseNetwork")):
        monkeypatch.setattr(module, name, lambda *_: actors.FakePoseNetwork(script))
    for frame in range(PICTURES):
        write_image(tmp_path / f"subject/images/00/{frame:06d}.png", actors.picture(frame))
    return tmp_path / "subject"


@resumed_at(
    (blazepose.Follower, "__call__", 17),
    (blazepose, "write_image_fast", 2),
    (blazepose, "write_image_fast", PICTURES),
    (Keypoints, "save", 1),
)
def test_keypoints(filmed: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> None:
    work = Strike(monkeypatch, actors.FakePoseNetwork, "__call__")
    goes_on(blazepose.BlazePoseKeypoints, filmed, Strike(monkeypatch, owner, name, at), work, most_again=2)


def test_search(filmed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strike = Strike(monkeypatch, actors.FakeMoveNet, "__call__", 4)
    goes_on(blazepose.BlazePoseKeypoints, filmed, strike, strike)


def test_lifted_keypoints(filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = Keypoints.empty(list(range(PICTURES)))
    points.detected[:], points.visibility[:], points.world_points[:] = True, 1, np.nan
    points.image_points[:] = np.random.default_rng(0).uniform(50, 200, points.image_points.shape)
    points.save(tmp_path / "given.npz")
    strike = Strike(monkeypatch, folder, "write_image_fast", 21)
    goes_on(lambda: folder.FolderKeypoints(str(tmp_path / "given.npz")), filmed, strike, strike)


@resumed_at(
    (blazepose_masks._Masker, "__call__", 5),
    (blazepose_masks, "measure_plate", 1),
    (blazepose_masks, "matte", 3),
    (SubjectWriter, "write_parts", 14),  # in the second pass: mask and parts are of different passes then
    (blazepose_masks, "draw_stage", 1),
)
def test_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, at: int) -> None:
    film(tmp_path / "subject", absent=(6,))
    work = Strike(monkeypatch, SubjectWriter, "write_mask")
    goes_on(blazepose_masks.BlazePoseMasks, tmp_path / "subject", Strike(monkeypatch, owner, name, at), work, 2)


def test_posed_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = toy.write_subject(tmp_path / "subject", n_frames=3, n_cameras=1)
    strike = Strike(monkeypatch, SubjectWriter, "write_blend_weight_volume", 3)
    goes_on(lambda: BlendWeightVolumes(per_frame=True), subject, strike, strike, most_again=2)  # the canonical one, too


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.preprocess.test_unfinished import Squares
from preprocess.stage import run_stages
run_stages([Squares(Path(sys.argv[1]), kill_at=5)], Path(sys.argv[2]))
"""


class Squares(Stage):
    """Squares the numbers of a file, and kills its own process at one of them."""

    name = "squares"

    def __init__(self, source: Path, kill_at: int | None = None, offset: int = 0, force: bool = False) -> None:
        self.source, self.kill_at, self.offset, self.force = source, kill_at, offset, force
        self.computed: list[int] = []

    def inputs(self, subject: Path) -> list[Path]:
        return [self.source]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "squares"]

    def settings(self) -> dict[str, int]:
        return {"offset": self.offset}

    def run(self, subject: Path, progress: Progress) -> str:
        (subject / "squares").mkdir(parents=True, exist_ok=True)
        with unfinished(self, subject).journal() as journal:
            for i, text in enumerate(self.source.read_text().split()):
                path = subject / "squares" / f"{i}.txt"

                def compute(i: int = i, text: str = text, path: Path = path) -> dict[str, np.ndarray]:
                    path.write_text(str(int(text) ** 2 + self.offset))
                    self.computed.append(i)
                    if i == self.kill_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return {}

                journal.once(str(i), compute, [path])
        return "done"


@pytest.fixture(scope="module")
def _killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    source, subject = folder / "numbers", folder / "subject"
    source.write_text("1 2 3 4 5 6 7 8")
    command = [sys.executable, "-c", KILLED, str(source), str(subject)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    return folder


@pytest.fixture
def killed(_killed_once: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The source and the subject of a process that was killed at number 5 of 8; the test may change both."""
    shutil.copytree(_killed_once, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path / "numbers", tmp_path / "subject"


def test_a_killed_process_loses_one_picture(killed: tuple[Path, Path]) -> None:
    source, subject = killed
    (subject / "squares/2.txt").write_text("damaged")
    stage = Squares(source)
    run_stages([stage], subject)
    assert stage.computed == [2, 5, 6, 7]
    written = {name: content.decode() for name, content in contents(subject).items()}
    assert written == {f"squares/{i}.txt": str((i + 1) ** 2) for i in range(8)}
    assert not (subject / "set_aside").exists()


@pytest.mark.parametrize("change", ["settings", "inputs", "force", "version"])
def test_what_was_made_otherwise_is_not_taken_up(
    killed: tuple[Path, Path], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, subject = killed
    if change == "inputs":
        source.write_text("1 2 3 4 5 6 7 9")
    if change == "version":
        monkeypatch.setattr(Squares, "version", 2)
    stage = Squares(source, offset=int(change == "settings"), force=change == "force")
    run_stages([stage], subject)
    assert stage.computed == list(range(8))
    assert not list(subject.rglob("*.unfinished"))


def test_unfinished_work_lies_inside_the_subject(killed: tuple[Path, Path], tmp_path: Path) -> None:
    source, subject = killed
    outside = Path(shutil.move(subject / "stages/squares.unfinished", tmp_path / "outside"))
    (subject / "stages/squares.unfinished").symlink_to(outside)
    before = contents(outside)
    with pytest.raises(UserError, match="outside"):
        run_stages([Squares(source)], subject)
    assert contents(outside) == before
