"""Which file a name means, and what its subject is called."""

from pathlib import Path

import pytest

from hashhuman.errors import UserError
from preprocess.frames.decode import DEMO_CAMERA, find_video, subject_name


def test_names_of_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("foo.mp4", "bar.MOV", "both.mp4", "both.mov", "demo.mp4"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).write_bytes(b"")
    assert find_video("foo", tmp_path).name == "foo.mp4"
    assert find_video("bar.MOV", tmp_path).name == "bar.MOV"
    assert find_video(str(tmp_path / "videos/foo.mp4"), tmp_path / "elsewhere").name == "foo.mp4"
    assert find_video("demo", tmp_path).name == "demo.mp4"  # the user's own goes first
    with pytest.raises(UserError, match=r"both\.mov or both\.mp4"):
        find_video("both", tmp_path)
    monkeypatch.setattr("preprocess.frames.decode.fetch", lambda asset: Path("fetched", asset.filename))
    assert find_video("demo", tmp_path / "elsewhere") == Path("fetched", DEMO_CAMERA.filename)


def test_names_of_subjects_do_not_clash() -> None:
    assert subject_name("/any/where/foo.mp4") == subject_name("foo") == "foo"
    assert subject_name("take.2") == "take.2"
    names = ["a b.mp4", "a_b.mp4", "a  b.mp4", "a(b).mp4", "../a=b.mp4", "\u00e9.mp4", "\u00e8.mp4", ".mp4", "..."]
    made = [subject_name(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.") and name.strip(".") for name in made)
