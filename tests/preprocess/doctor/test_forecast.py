"""The time that a run is going to take, by hand."""

import pytest
import torch

from preprocess.doctor.forecast import Forecast

FORECAST = Forecast(network_s=0.1, picture_s=2.0, cpu_s=300.0, gpu_s=60.0)


@pytest.mark.parametrize(
    ("gpu", "count", "network_s", "minutes"),
    [(False, 150, 0.1, 10), (False, 150, 0.3, 30), (False, 0, 0.01, 1), (True, 90, 0.1, 4), (True, 90, 0.3, 10)],
)
def test_by_hand(gpu: bool, count: int, network_s: float, minutes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    finding = FORECAST(count, network_s)
    assert finding.value.startswith(f"about {minutes} min") and f"preset {'fast' if gpu else 'cpu'}" in finding.value
