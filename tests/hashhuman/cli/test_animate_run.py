"""`python -m hashhuman.animate` on a run that a few steps trained."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

import train
from hashhuman.animate.__main__ import main
from hashhuman.cli.view_run import further_motions
from hashhuman.errors import UserError
from hashhuman.export.bvh import bvh
from hashhuman.export.motion import captured
from hashhuman.training import run
from tests.hashhuman.animate import people
from tests.tiny import SMALL, TOY

CONF = str(Path(__file__).parents[3] / "conf")
SMALL_VIDEO = ("animate.camera.height=16", "animate.fps=5", "animate.video=gif", "device=cpu")


def composed(name: str, *overrides: str):
    train.register_resolvers()
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose(name, list(overrides))


@pytest.fixture(scope="module")
def trained(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    options = (
        f"data.root={toy_folder}", f"run_dir={folder}", "trainer.max_steps=2", "data.val_views=0", "data.cache_mb=0",
        "eval.splits=[]",
    )  # fmt: skip
    train.main(composed("train", "data=zju_mocap", *SMALL, *TOY, *options))
    return folder


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    body = people.skeleton()
    path = tmp_path / "walk.bvh"
    path.write_text(bvh(body, people.motion(body, frames=13), 100.0))
    return path


def test_a_file(trained, walk, capsys):
    named = "animate.retargeting.names={left_knee: left_knee}"
    main(composed("animate", f"run={trained}", f"motion={walk}", "format=[npz,bvh]", named, *SMALL_VIDEO))
    said = capsys.readouterr().out
    folder = trained / "animate/walk"
    assert {path.name for path in folder.iterdir()} == {"motion.npz", "motion.bvh", "animation.gif"}
    assert f"video: {folder / 'animation.gif'}" in said and "animation: 3/3 pictures" in said
    with np.load(folder / "motion.npz") as content:
        assert content["times"] == pytest.approx([0, 0.2, 0.4])


def test_the_viewer_has_it_beside_the_filmed_one(trained, walk):
    module, data, _ = run.load(trained)
    config = composed("view", f"run={trained}", f"motion={walk}", "animate.fps=50")
    (motion,) = further_motions(config, module.avatar, data)
    filmed = captured(module.avatar, data, 30.0)
    assert motion.name == "walk" and motion.times == pytest.approx(np.arange(21) / 50)
    assert (motion.exported_from_world == filmed.exported_from_world).all()
    assert further_motions(composed("view", f"run={trained}"), module.avatar, data) == []
    with pytest.raises(UserError, match=r"none\.bvh does not exist"):
        further_motions(composed("view", f"run={trained}", "motion=none.bvh"), module.avatar, data)


def test_another_run_from_one_place(trained, tmp_path):
    """Written elsewhere; the run's own motion, of six frames at 30 a second, in one picture out of six."""
    out = tmp_path / "out"
    options = ("animate/camera=fixed", f"out={out}", "format=npz", *SMALL_VIDEO)
    main(composed("animate", f"run={trained}", f"motion={trained}", *options))
    assert {path.name for path in out.iterdir()} == {"motion.npz", "animation.gif"}
    assert not (trained / "animate/first").exists()


def test_mistakes_are_one_sentence(trained, walk, tmp_path, toy_folder):
    def refused(said: str, *overrides: str) -> None:
        with pytest.raises(UserError, match=said):
            main(composed("animate", f"run={trained}", "animate.video=null", "device=cpu", *overrides))
        assert not (trained / "animate/wrong").exists()

    wrong = shutil.copy(walk, tmp_path / "wrong.bvh")
    Path(wrong).write_text(walk.read_text().replace("Frames: 13", "Frames: 14"))
    refused(r"wrong\.bvh .* promises 14 frames, and has 13", f"motion={wrong}")
    refused(r"none\.bvh does not exist", f"motion={tmp_path / 'none.bvh'}")
    refused("neither a run's folder nor one of", f"motion={walk.with_suffix('.fbx')}")
    refused(f"motion={tmp_path}: .*is not a finished run", f"motion={tmp_path}")
    refused("motion_root=/none is no folder", f"motion={trained}", "motion_root=/none")
    refused("animate.video=avi must be mp4 or gif or null", f"motion={walk}", "animate.video=avi")
    refused("are too many", f"motion={walk}", "animate.fps=100000000")
    refused("recording's cameras are 0 to 1", f"motion={walk}", "animate/camera=filmed", "animate.camera.camera=5",
            "animate.video=gif", f"out={tmp_path / 'x'}")  # fmt: skip
