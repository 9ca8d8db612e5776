"""Bad input, through the entry point: one clear sentence, exit status 2, and what was finished stays finished."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from hashhuman.cli import hydra_main
from hashhuman.errors import UserError
from hashhuman.io.files import read_image
from preprocess.__main__ import main
from preprocess.keypoints import blazepose, follow, search
from preprocess.pipeline import Preprocessing
from tests.preprocess import actors
from tests.preprocess.clips import damage, grey_levels, write_video

REPOSITORY = Path(__file__).parents[2]
FIRST_TWO = [f"~preprocess/{stage}" for stage in ("body_fit", "masks", "blend_weights", "quality", "report")]

Preprocess = Callable[..., str]


@pytest.fixture
def preprocess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Preprocess:
    """Runs `python -m preprocess` in this process, in an empty folder, and returns what it says when it fails."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # restored afterwards
    monkeypatch.setenv("HASHHUMAN_MODELS", os.path.abspath(os.environ.get("HASHHUMAN_MODELS", "models")))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 2) -> str:
        monkeypatch.setattr(sys, "argv", ["preprocess", *arguments, *FIRST_TWO])
        capfd.readouterr()
        status = 0
        try:
            hydra_main.run(main, str(REPOSITORY / "conf"), "preprocess", path_option="video")
        except SystemExit as left:
            status = int(str(left.code))
        said = capfd.readouterr().err
        assert status == code, said
        lines = said.splitlines()
        assert len(lines) == bool(code), said
        return lines[0] if lines else ""

    return run


def clip(name: str = "clip", pictures: list[np.ndarray] | None = None) -> Path:
    return write_video(Path("data/videos") / f"{name}.mp4", pictures or grey_levels(6))


def finished(subject: str = "clip") -> list[str]:
    return sorted(p.stem for p in Path(f"data/subjects/{subject}/stages").glob("*.json"))


def test_no_such_video(preprocess: Preprocess) -> None:
    assert "no video 'nope'" in preprocess("video=nope")


def test_no_such_video_from_the_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "preprocess", "video=nope", f"workspace={tmp_path}"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("there is no video 'nope'") and done.stderr.count("\n") == 1


def test_easymocap_that_no_stage_uses(preprocess: Preprocess) -> None:
    clip()
    said = preprocess("video=clip", "preprocess/easymocap=run")
    assert said.startswith("preprocess/easymocap=run has no effect") and "preprocess/keypoints=easymocap" in said
    assert "preprocess.easymocap.gpu=1" in preprocess("video=clip", "preprocess.easymocap.gpu=1")
    used = preprocess("video=clip", "preprocess/easymocap=run", "preprocess/keypoints=easymocap")
    assert "preprocess.easymocap.root" in used and not finished()


def test_no_video_given(preprocess: Preprocess) -> None:
    assert "video=..." in preprocess()


def test_not_a_video(preprocess: Preprocess) -> None:
    Path("notes.mp4").write_text("no pictures in here")
    assert "notes.mp4 cannot be read as a video" in preprocess("video=notes.mp4")


def test_sound_only(preprocess: Preprocess) -> None:
    with av.open("song.wav", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert "song.wav cannot be read as a video" in preprocess("video=song.wav")


@pytest.mark.parametrize(("name", "sentence"), [("empty.avi", "has no pictures"), ("empty.mp4", "holds no video")])
def test_zero_frames(preprocess: Preprocess, name: str, sentence: str) -> None:
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert f"{name} {sentence}" in preprocess(f"video={name}")


def test_range_beyond_the_end(preprocess: Preprocess) -> None:
    clip()
    assert "no pictures from 50 on" in preprocess("video=clip", "preprocess.frames.start=50")


def test_picture_that_does_not_decode(preprocess: Preprocess) -> None:
    rng = np.random.default_rng(0)
    blocks = [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(6)]
    damage(clip(pictures=blocks), 3)
    said = preprocess("video=clip", "preprocess.frames.strict=true")
    assert "clip.mp4: picture 3 cannot be decoded" in said and "preprocess.frames.stop=3" in said
    assert finished() == []
    preprocess("video=clip", "~preprocess/keypoints", code=0)
    (note,) = json.loads(Path("data/subjects/clip/subject.json").read_text())["video"]["notes"]
    assert "damaged: 3 pictures cannot be decoded" in note and "preprocess.frames.stop=3" in note
    strict = "preprocess.frames.strict=true"
    preprocess("video=clip", strict, "preprocess.frames.stop=3", "~preprocess/keypoints", code=0)  # the advice works
    assert finished() == ["frames"]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch, full: int) -> None:
    clip()
    preprocess("video=clip", "~preprocess/keypoints", code=0)
    clip("other")
    written = Path.write_bytes

    def write(path: Path, data: bytes) -> int:
        if "000003" in path.name:
            raise OSError(full, os.strerror(full), str(path))
        return written(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        said = preprocess("video=other", "~preprocess/keypoints")
    assert "000003.png cannot be written" in said and os.strerror(full) in said
    left = {path.name: read_image(path) for path in Path("data/subjects/other/images/00").iterdir()}
    assert {"000000.png", "000001.png", "000002.png"} <= left.keys() and "000003.png" not in left
    assert len({image.shape for image in left.values()}) == 1  # whole pictures only
    assert finished("other") == [] and finished("clip") == ["frames"]


def test_unknown_key(preprocess: Preprocess) -> None:
    said = preprocess("video=clip", "preprocess.frames.stopp=3")
    assert "preprocess.frames.stopp" in said and said.endswith("did you mean preprocess.frames.stop?")


def test_unknown_key_that_was_added(preprocess: Preprocess) -> None:
    clip()
    assert "'stopp'" in preprocess("video=clip", "+preprocess.frames.stopp=3")


def test_unknown_stage(preprocess: Preprocess) -> None:
    said = preprocess("video=clip", "preprocess/keypoints=openpos")
    assert "openpos'" in said and "blazepose" in said and "folder" in said
    assert said.endswith("did you mean preprocess/keypoints=openpose?")


def test_missing_optional_package(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    clip()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    said = preprocess("video=clip")
    assert "ai-edge-litert, which is not installed" in said and "pip install" in said
    assert finished() == [] and not Path("data/subjects").exists()  # told before anything runs


def test_finished_stages_need_no_package(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    use_actors([{"person": (150, 120)}] * 6, monkeypatch)
    preprocess("video=clip", code=0)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    preprocess("video=clip", code=0)
    assert "which is not installed" in preprocess("video=clip", "preprocess.keypoints.every=4")
    assert finished() == ["frames", "keypoints"]


def test_missing_body_model(tmp_path: Path) -> None:
    """SMPL's file, which only the second stage after the video needs."""
    video = write_video(tmp_path / "clip.mp4", grey_levels(6))
    overrides = [f"video='{video}'", "body=smpl", f"body.root='{tmp_path}'", "preprocess/keypoints=folder"]
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose("preprocess", [*overrides, f"preprocess.keypoints.path='{tmp_path}'"])
    with pytest.raises(UserError, match=r"SMPL_NEUTRAL\.pkl does not exist"):
        Preprocessing(config.preprocess).prepare(tmp_path / "subject")
    assert not (tmp_path / "subject").exists()


def test_folders_that_take_no_files(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a")
    Path("file").touch()
    video = "video=data/videos/a.mp4"
    assert "file/x/subjects cannot be used: Not a directory" in preprocess(video, "workspace=file/x")
    monkeypatch.setenv("HASHHUMAN_MODELS", "file/models")
    said = preprocess(video)
    assert "file/models" in said and "HASHHUMAN_MODELS" in said and not Path("data/subjects").exists()


def test_values_out_of_range(preprocess: Preprocess) -> None:
    assert "preprocess.frames.step=0 must be" in preprocess("video=clip", "preprocess.frames.step=0")
    assert "preprocess.frames.max_size=big is not a number" in preprocess("video=c", "preprocess.frames.max_size=big")


def test_a_path_alone_is_the_video(preprocess: Preprocess) -> None:
    Path("my notes.mp4").write_text("no pictures in here")
    assert "my notes.mp4 cannot be read as a video" in preprocess("my notes.mp4")
    assert "notes.mp4 does not exist, and is no option either" in preprocess("notes.mp4")


def test_truncated_weights(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    clip()
    weights = Path("models", blazepose_weights())
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"TFL3" * 1000)
    monkeypatch.setenv("HASHHUMAN_MODELS", "models")
    said = preprocess("video=clip")
    assert f"{weights} is damaged" in said and "delete it" in said
    assert finished() == ["frames"]


def blazepose_weights() -> str:
    from preprocess.assets import MOVENET_MULTIPOSE

    return MOVENET_MULTIPOSE.filename


@pytest.mark.slow
def test_nobody_in_the_video(preprocess: Preprocess) -> None:
    clip()
    assert "nobody was found" in preprocess("video=clip")
    assert finished() == ["frames"]


def use_actors(script: actors.Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """A video of as many pictures as the script has, and networks that know the script."""
    clip(pictures=[actors.picture(0)] * len(script))
    for module in (blazepose, follow, search):
        monkeypatch.setattr(module, "read_rgb", lambda path: actors.picture(int(path.stem)))
    monkeypatch.setattr(blazepose, "MoveNets", lambda: actors.FakeMoveNet(script))
    for name in ("PoseNetwork", "PoseNetworks"):
        monkeypatch.setattr(blazepose, name, lambda *_: actors.FakePoseNetwork(script))


def test_person_in_a_few_pictures_only(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [{"person": (150, 120)} if 10 <= i < 14 else {} for i in range(40)]
    use_actors(script, monkeypatch)
    assert "found in only 4 of 40 pictures" in preprocess("video=clip")
    assert finished() == ["frames"]


def test_person_missing_now_and_then_is_no_error(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [{} if 4 <= i < 9 else {"person": (150, 120)} for i in range(20)]
    use_actors(script, monkeypatch)
    preprocess("video=clip", code=0)
    keypoints = blazepose.Keypoints.load(Path("data/subjects/clip/keypoints/00.npz"))
    assert np.flatnonzero(~keypoints.detected).tolist() == [4, 5, 6, 7, 8]


def test_person_who_is_not_there(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    use_actors([{"person": (150, 120)}] * 6, monkeypatch)
    assert "person=2" in preprocess("video=clip", "preprocess.keypoints.person=2")
    assert "neither a number" in preprocess("video=clip", "preprocess.keypoints.person=[1,2,3]")
