"""The first lines that a run prints."""

import pytest
import torch
from omegaconf import OmegaConf

from hashhuman.cli.start import describe_start, preset


def test_the_preset_and_its_reason():
    assert preset("cpu", False) == "experiment=cpu (chosen because PyTorch sees no GPU)"
    assert preset("fast", False) == "experiment=fast (chosen because PyTorch sees a GPU)"
    assert preset("cpu", True) == "experiment=cpu" and preset(None, True) == "experiment=null"


def test_folder_and_device(monkeypatch: pytest.MonkeyPatch):
    config = OmegaConf.create({"run_dir": "outputs/x", "trainer": {"accelerator": "gpu"}})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some GPU")
    assert "outputs/x" in describe_start(config) and "some GPU" in describe_start(config)
    config.trainer.accelerator = "cpu"
    assert "device      CPU, " in describe_start(config)
