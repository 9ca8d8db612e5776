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
    with pytest.raises(UserError, match=r"did you mean video=clip\.mp4\?$"):
        prepared(["clip.mp4"], "video")
    with pytest.raises(UserError, match=r"run7 is not an option: write NAME=VALUE\.$"):
        prepared(["run7"], None)


def test_flags_and_their_values_stay():
    arguments = ["-m", "--config-name", "other", "--cfg", "job", "-cd=x", "~preprocess/masks", "+a=1", "seed=1,2"]
    assert prepared(arguments, "video") == arguments
