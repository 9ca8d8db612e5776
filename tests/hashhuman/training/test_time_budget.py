"""The plan of a time budget: the number of steps that fits into it."""

import itertools

import pytest

from hashhuman.training.time_budget import UPDATES, Plan


def taken(plan: Plan, seconds_of) -> tuple[int, float, list[int]]:
    """Steps, seconds and updates of a training whose step i takes `seconds_of(i)`; time counts from the first step."""
    elapsed, updates = 0.0, []
    for step in itertools.count(1):
        elapsed += seconds_of(step) if step > 1 else 0.0
        if step >= plan.next_update:
            plan.update(step, elapsed)
            updates.append(step)
            if plan.over(step):
                return step, elapsed, updates
    raise AssertionError


@pytest.mark.parametrize("pace", [0.002, 0.05, 0.4])
@pytest.mark.parametrize("seconds", [2.0, 10.0, 60.0])
def test_an_even_pace_fills_the_time_budget(pace: float, seconds: float):
    steps, elapsed, updates = taken(Plan(seconds, 2000), lambda step: pace)
    assert abs(elapsed - seconds) <= 0.51 * pace and steps == round(seconds / pace) + 1
    assert len(updates) < UPDATES + 32  # besides these: intervals double at the start and halve at the end


def test_slow_first_steps_and_a_change_of_pace():
    """Step 10 takes a second for the capture; later steps are twice as fast."""
    steps, elapsed, _ = taken(Plan(10.0, 2000), lambda step: 1.0 if step == 10 else 0.01 if step < 300 else 0.005)
    assert elapsed == pytest.approx(10, abs=0.006)
    assert steps == pytest.approx(299 + (10 - 1 - 2.97) / 0.005, abs=3)


def test_the_share_that_is_over_follows_the_clock():
    """Through a pause of two seconds at step 100, after which a step takes five times as long."""
    plan, elapsed, shares = Plan(10.0, 2000), 0.0, []
    for step in itertools.count(1):
        elapsed += 0.0 if step == 1 else 2.0 if step == 100 else 0.01 if step < 100 else 0.05
        if step >= plan.next_update:
            plan.update(step, elapsed)
            if plan.over(step):
                break
        shares.append((plan.progress(step), elapsed / 10))
    late = [(share, true) for share, true in shares if true > 0.45]
    assert len(late) > 100 and all(share == pytest.approx(true, abs=0.02) for share, true in late)
    assert max(share - true for share, true in shares) < 0.02  # hardly ever ahead
    assert plan.progress(step) == pytest.approx(1, abs=0.01)


def test_the_schedule_ends_with_the_budget():
    plan, reached = Plan(5.0, 300), []
    steps, _, _ = taken(plan, lambda step: reached.append(plan.nominal(step)) or 0.01)
    assert plan.nominal(steps) == pytest.approx(300) and plan.nominal(steps + 9) == 300
    assert plan.nominal(steps // 2) == pytest.approx(150, abs=1)
    half = reached[len(reached) // 4 :]  # once the pace is known, it rises evenly
    assert max(b - a for a, b in itertools.pairwise(half)) < 2 * 300 / steps


def test_a_budget_shorter_than_a_step():
    steps, _, updates = taken(Plan(0.1, 100), lambda step: 3.0)
    assert steps == 2 and updates == [2]
