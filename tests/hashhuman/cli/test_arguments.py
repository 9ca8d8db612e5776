"""Arguments before Hydra reads them: a path alone is the video, and other words are explained."""

from pathlib import Path

import pytest

from hashhuman.cli.arguments import prepared
from hashhuman.errors import UserError


@pytest.mark.parametrize("name", ["clip.mp4", "a b, [c].mp4", "it's.mp4"])
def test_a_path_alone_is_the_video(name: str, tmp_path: Path):
    (tmp_path / name).touch()
    [argument] = prepared([str(tmp_path / name)], "video")
    assert argument.replace("\\'", "'") == f"video='{tmp_path / name}'"


def test_a_path_with_an_equals_sign(tmp_path: Path):
    (tmp_path / "a=b.mp4").touch()
    assert prepared([str(tmp_path / "a=b.mp4")], "video") == [f"video='{tmp_path / 'a=b.mp4'}'"]


def test_other_words_are_explained(tmp_path: Path):
    for path, option in (("clip.mp4", "video"), ("my/clip", "video"), ("clip", "run")):  # an option makes none exist
        with pytest.raises(UserError, match=rf"^{path} does not exist, and .*: give a path, or NAME=VALUE\.$"):
            prepared([path], option)
    with pytest.raises(UserError, match=r"^clip does not exist, .* such as video=clip for a recording of that name\.$"):
        prepared(["clip"], "video")
    with pytest.raises(UserError, match=r"run7 is not an option: write NAME=VALUE\.$"):
        prepared(["run7"], None)


def test_flags_and_their_values_stay():
    arguments = ["-m", "--config-name", "other", "--cfg", "job", "-cd=x", "~preprocess/masks", "+a=1", "seed=1,2"]
    assert prepared(arguments, "video") == arguments


def test_a_value_that_is_too_long_for_a_file():
    argument = f"note={300 * 'a'},{300 * 'b'}"
    assert prepared(["-m", argument], "video") == ["-m", argument]


def test_the_runs_of_a_sweep_do_not_share_a_folder():
    with pytest.raises(UserError, match=r"^run_dir=x would be the folder of every run .* hydra\.sweep\.dir=FOLDER\.$"):
        prepared(["-m", "run_dir=x", "seed=1,2"], "video")
    assert prepared(["run_dir=x"], "video") == ["run_dir=x"]
