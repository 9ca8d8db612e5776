"""Learning rates as functions of the step."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from hashhuman.training.schedules import exponential, warmup_then_decay


def test_warmup_rises_in_equal_steps():
    factor = warmup_then_decay(4, 100, 0.01)
    assert [factor(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_decay_is_torchs_cosine():
    factor = warmup_then_decay(0, 20, 0.1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = CosineAnnealingLR(optimizer, 20, eta_min=0.1)
    for step in range(21):
        assert factor(step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_the_factor_stays_at_its_final_value():
    factor = warmup_then_decay(10, 50, 0.02)
    assert factor(30) == pytest.approx((1 + 0.02) / 2)  # halfway between warm-up and end
    assert factor(50) == factor(5000) == pytest.approx(0.02)
    assert warmup_then_decay(10, 5, 0.02)(10) == pytest.approx(1.0)  # shorter than its warm-up: no division by zero


def test_exponential():
    factor = exponential(1000, 0.1)
    assert [factor(step) for step in (0, 1000, 2000)] == pytest.approx([1.0, 0.1, 0.01])
    assert factor(500) == pytest.approx(0.1**0.5)


def test_a_longer_training_has_the_same_sum_of_rates():
    """Of 300 steps instead of 100, each of the schedule's being three: every rate is a third."""
    usual, longer = warmup_then_decay(0, 100, 0.01, 100), warmup_then_decay(0, 300, 0.01, 100)
    total = sum(usual(step) for step in range(100))
    assert sum(longer(step) for step in range(300)) == pytest.approx(total, rel=0.01)
    assert sum(usual(step / 3, 3.0) for step in range(300)) == pytest.approx(total, rel=0.01)
    assert warmup_then_decay(0, 50, 0.01, 100)(0) == usual(0) == 1.0
    assert exponential(100, 0.1)(50, 3.0) == exponential(100, 0.1)(50)
