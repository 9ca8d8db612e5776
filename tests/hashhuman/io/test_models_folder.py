"""Weights lie in one folder, wherever a command is typed."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from hashhuman.io.models_folder import HERE, cache_root


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another current folder than the project's, and nothing in the environment."""
    monkeypatch.delenv("HASHHUMAN_MODELS", raising=False)
    (tmp_path / "cwd/models").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")


def test_the_folder_of_the_checkout():
    assert cache_root() == Path(__file__).parents[3].resolve() / "models"


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for named, folder in ((str(tmp_path / "mine"), tmp_path / "mine"), ("~/mine", Path.home() / "mine")):
        monkeypatch.setenv("HASHHUMAN_MODELS", named)
        assert cache_root() == folder
    monkeypatch.setenv("HASHHUMAN_MODELS", "")
    assert cache_root() == HERE / "models"


def test_the_users_cache_without_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_root(tmp_path) == tmp_path / "cache/hashhuman/models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root(tmp_path) == Path.home() / ".cache/hashhuman/models"


def test_bodies_lie_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with initialize_config_dir(str(HERE / "conf"), version_base="1.3"):
        config = compose("preprocess", ["video=x", "body=smplx"])
        assert config.body.root == str(HERE / "models/smplx")
        monkeypatch.setenv("HASHHUMAN_MODELS", str(tmp_path))
        assert OmegaConf.create({"a": "${models_folder:}"}).a == str(tmp_path)
