"""Folders of a sweep's jobs: named by what differs, safe, short and distinct."""

import sys

import pytest

from hashhuman.cli import job_folders
from hashhuman.cli.job_folders import differences, folder_name, job_folder


@pytest.fixture(autouse=True)
def _afresh():
    job_folders.forget()
    yield
    job_folders.forget()


def test_common_overrides_are_left_out(monkeypatch: pytest.MonkeyPatch):
    given = ["-m", "data=synthetic", "eval.products.turntable=null", "video=a,b", "encoder.log2_hashmap_size=14,15"]
    monkeypatch.setattr(sys, "argv", ["train.py", *given])
    common = ["data=synthetic", "eval.products.turntable=null"]  # as Hydra's sweeper spells it
    name = job_folder([*common, "video=a", "encoder.log2_hashmap_size=14"], 0)
    assert name == "video=a,encoder.log2_hashmap_size=14"
    assert job_folder(common, 1) == "only"


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("video=/data/my clips/a b.mp4", "video=a-b.mp4"),
        ("video='clips/x [1].mp4'", "video=x-1-.mp4"),
        ("preprocess/keypoints=folder", "preprocess.keypoints=folder"),
        ("~preprocess/masks", "no-preprocess.masks"),
        ("train_frames=[0,1]", "train_frames=-0,1"),
        ("a=..", "a="),
        ("video=ä", "video=ä"),
    ],
)
def test_names_are_safe(override: str, name: str):
    assert folder_name([override]) == name


def test_names_are_short():
    assert len(folder_name([f"a{i}={'ü' * 9}" for i in range(50)]).encode()) <= job_folders.LONGEST < 255


def test_distinct_jobs_have_distinct_folders(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    jobs = ["video=x/a.mp4", "video=y/a.mp4", "video=y/a.mp4", f"b={'1' * 200}", f"b={'1' * 201}", "video=a.mp4-1"]
    names = [job_folder([job], number) for number, job in enumerate(jobs)]
    assert len(set(names)) == len(jobs)
    assert names == [job_folder([job], number) for number, job in enumerate(jobs)]  # asked again


def test_differences_of_jobs():
    assert differences([["a=1", "b=2"], ["a=1", "b=3"]]) == ["b=2", "b=3"]
    assert differences([["a=1"]]) == ["the only one"] and differences([]) == []
