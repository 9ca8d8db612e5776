"""What a command writes into a finished run's folder is listed in its manifest, and nothing that was there before."""

import pytest

from hashhuman.training.manifest import Manifest
from hashhuman.training.run_folder import results
from hashhuman.training.run_parts import list_new, written_anew


@pytest.fixture
def folder(tmp_path):
    Manifest("digest", "code", None, trained=True).save(tmp_path)
    return tmp_path


def listed(folder) -> set[str]:
    return {*Manifest.existing(folder).files}


def test_a_part_is_listed_when_it_is_whole(folder):
    (folder / "animate/walk").mkdir(parents=True)
    with written_anew(folder, "animate/walk"):
        (folder / "animate/walk/animation.mp4").write_text("video")
        assert not listed(folder)
    assert listed(folder) == {"animate/walk/animation.mp4"}
    with pytest.raises(ZeroDivisionError), written_anew(folder, "animate/walk"):
        raise ZeroDivisionError
    assert not listed(folder)  # what was there counts no longer


def test_only_changes_are_listed(folder):
    (folder / "view").mkdir()
    (folder / "view/mesh.npz").write_text("mesh")
    list_new(folder, "view")
    assert listed(folder) == {"view/mesh.npz"}
    written = (folder / "manifest.json").stat().st_mtime_ns
    list_new(folder, "view")
    assert (folder / "manifest.json").stat().st_mtime_ns == written
    (folder / "view/mesh.npz").unlink()
    (folder / "view/path_1.mp4").write_text("video")
    list_new(folder, "view")
    assert listed(folder) == {"view/path_1.mp4"}


def test_a_finished_run_may_lose_what_was_taken_from_it(folder):
    manifest = Manifest.existing(folder)
    names = ("export/avatar.glb", "animate/walk/a.mp4", "view/mesh.npz", "evaluation/metrics.json")
    manifest.files = dict.fromkeys(names, "0" * 64)
    assert results(manifest) == ["evaluation/metrics.json"]
