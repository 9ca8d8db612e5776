"""Devices by name."""

import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.gpu.device import device_named


def test_auto_follows_the_machine(monkeypatch):
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert device_named("auto", "device") == torch.device(expected)
    assert device_named("cpu", "device") == torch.device("cpu")


def test_what_is_not_there_is_refused_by_its_option(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_named("cuda", "device").type == "cuda"
    with pytest.raises(UserError, match=r"fit\.device=cuda:1: PyTorch sees 1"):
        device_named("cuda:1", "fit.device")
    with pytest.raises(UserError, match=r"fit\.device=gpu: there is no such device"):
        device_named("gpu", "fit.device")
