"""A run's config on disk: its format, its paths, and sentences for folders that cannot be loaded."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig, OmegaConf

from hashhuman.errors import UserError
from hashhuman.io import files
from hashhuman.training import run_folder
from hashhuman.training.manifest import Manifest


def config(**data) -> DictConfig:
    """The part of a run's config that these tests read."""
    root = {"workspace": "data", "run_dir": "out", "logs": "${run_dir}/logs", "seed": 3}
    parts = {"avatar": {"renderer": "${renderer}"}, "renderer": {"chunk": 8}}
    where = {"root": "${workspace}/subjects/foo", "smpl_meta": None}
    made = OmegaConf.create({**root, **parts, "data": {**where, **data}})
    OmegaConf.set_struct(made, True)
    return made


@pytest.fixture
def typed(monkeypatch) -> list[str]:
    """Replaces the command line."""
    words = ["video='my clip.mp4'", "seed=3"]
    given = SimpleNamespace(overrides=SimpleNamespace(task=words))
    monkeypatch.setattr(run_folder.HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(run_folder.HydraConfig, "get", lambda: given)
    return words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """A finished run in the folder `out`, its subject beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/subjects/foo").mkdir(parents=True)
    run_folder.save_config(tmp_path / "out", config())
    (tmp_path / "out/checkpoints").mkdir()
    (tmp_path / "out" / run_folder.CHECKPOINT).touch()
    finish(tmp_path / "out")
    return tmp_path / "out"


def finish(folder: Path) -> None:
    """Lists the run's files as those of a finished training."""
    manifest = Manifest.new("")
    manifest.add(folder, [folder / name for name in (run_folder.CONFIG, run_folder.CHECKPOINT)])
    manifest.trained = True
    manifest.save(folder)


def change(folder: Path, **changes) -> None:
    """Changes values of the saved config; None removes a key."""
    content = files.load_json(folder / run_folder.CONFIG) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    files.save_json(folder / run_folder.CONFIG, kept)


def test_a_saved_config_is_loaded_from_any_folder(folder, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run_folder.load_config(folder) == {
        "workspace": f"{tmp_path}/data",
        "run_dir": f"{tmp_path}/out",
        "logs": f"{tmp_path}/out/logs",  # paths that are derived from another path are absolute, too
        "seed": 3,
        "avatar": {"renderer": {"chunk": 8}},
        "renderer": {"chunk": 8},
        "data": {"root": f"{tmp_path}/data/subjects/foo", "smpl_meta": None},
    }


def test_a_change_to_a_group_reaches_the_avatar(folder):
    assert run_folder.load_config(folder, OmegaConf.create({"renderer": {"chunk": 4}})).avatar.renderer.chunk == 4


def test_saving_does_not_change_the_config(tmp_path):
    given = config(smpl_meta="~/meta")
    run_folder.save_config(tmp_path, given)
    assert given.data.smpl_meta == "~/meta" and given.workspace == "data"
    saved = files.load_json(tmp_path / run_folder.CONFIG)
    assert saved["data"]["smpl_meta"] == str(Path.home() / "meta") and saved["command"] is None


def test_overrides_change_the_config(folder):
    loaded = run_folder.load_config(folder, OmegaConf.create({"seed": 4, "data": {"max_size": 9}}))
    assert loaded.seed == 4 and loaded.data.max_size == 9 and loaded.data.smpl_meta is None


def test_the_command_is_saved(tmp_path, typed):
    run_folder.save_config(tmp_path, config())
    content = files.load_json(tmp_path / run_folder.CONFIG)
    assert content["format"] == run_folder.FORMAT == 5 and content["command"] == typed


@pytest.mark.parametrize("found", [None, 2, "x"])
def test_another_format_is_one_sentence(folder, found):
    """A folder without a format has format 1."""
    change(folder, format=found, command=["video='my clip.mp4'", "seed=3"])
    with pytest.raises(UserError) as raised:
        run_folder.load_config(folder)
    assert str(raised.value) == (
        f"{folder} is a run of format {found or 1}, and this revision of HashHuman reads format 5: train it again "
        """with `python train.py 'video='"'"'my clip.mp4'"'"'' seed=3`, or check out the revision that wrote it."""
    )
    change(folder, format=found, command=None)
    with pytest.raises(UserError, match="train it again with the command that made it, or check out"):
        run_folder.load_config(folder)


def test_a_subject_that_has_moved_is_one_sentence(folder, tmp_path):
    old = tmp_path / "data/subjects/foo"
    new = old.rename(tmp_path / "new")
    with pytest.raises(UserError, match=r"^data\.root=x+ \.\.\. x+ is no folder: correct it\.$"):
        run_folder.load_config(folder, OmegaConf.create({"data": {"root": 999 * "x"}}))
    with pytest.raises(UserError, match=rf"out was trained on {old}, .* add data\.root=FOLDER to say where"):
        run_folder.load_config(folder)
    moved = OmegaConf.create({"data": {"root": str(old)}})
    with pytest.raises(UserError, match=r"^data\.root=.*foo is no folder: correct it\.$"):
        run_folder.load_config(folder, moved)
    moved = OmegaConf.create({"data": {"root": str(new)}})
    assert run_folder.load_config(folder, moved).data.root == str(new)
    moved.data.smpl_meta = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"^data\.smpl_meta=.*nowhere is no folder: correct it\.$"):
        run_folder.load_config(folder, moved)


def test_folders_that_are_no_finished_run(folder, tmp_path):
    with pytest.raises(UserError, match=r"nothing is not a finished run, since .*config\.json is missing"):
        run_folder.load_config(tmp_path / "nothing")
    saved = files.load_json(folder / run_folder.CONFIG)
    files.save_json(folder / run_folder.CONFIG, [1])
    with pytest.raises(UserError, match=r"config\.json is not the config of a run"):
        run_folder.load_config(folder)
    files.save_json(folder / run_folder.CONFIG, saved)
    (folder / run_folder.CHECKPOINT).unlink()
    with pytest.raises(UserError, match=r"not a finished run, since .*last\.ckpt is missing"):
        run_folder.load_config(folder)


def test_the_digest_of_a_config_does_not_depend_on_the_folder(tmp_path):
    def digest(**changes) -> str:
        made = config()
        OmegaConf.set_struct(made, False)
        return run_folder.digest(run_folder.content_of(OmegaConf.merge(made, changes)))  # type: ignore[arg-type]

    assert digest() == digest(run_dir=str(tmp_path / "elsewhere")) == digest(resume=True)
    assert len({digest(), digest(seed=4), digest(renderer={"chunk": 4}), digest(extra=[])}) == 4


@pytest.mark.parametrize("change", [{"step": "x"}, {"files": {"../x": 64 * "0"}}, {"files": {"x": "0"}}, {"more": 1}])
def test_a_damaged_manifest_is_one_sentence(folder, change):
    path = folder / "manifest.json"
    files.save_json(path, files.load_json(path) | change)
    with pytest.raises(UserError, match=r"manifest\.json is not the manifest of a run"):
        run_folder.load_config(folder)
