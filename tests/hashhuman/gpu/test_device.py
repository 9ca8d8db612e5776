"""Devices by name."""

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.gpu.device import device_named


def test_auto_is_the_gpu_if_there_is_one(monkeypatch):
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_named("auto", "device") == torch.device(expected)
    assert device_named("cpu", "device") == torch.device("cpu")


def test_missing_devices_are_refused_with_the_option(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_named("cuda", "device").type == "cuda"
    with pytest.raises(UserError, match=r"fit\.device=cuda:1: PyTorch sees 1"):
        device_named("cuda:1", "fit.device")
    with pytest.raises(UserError, match=r"fit\.device=gpu: there is no such device"):
        device_named("gpu", "fit.device")
