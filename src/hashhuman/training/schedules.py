"""Learning-rate schedules: factors of the learning rate as functions of the step.

With a time budget (`training/time_budget.py`) a schedule is stretched. Its step may then be fractional, and `stretch`
is the number of steps taken per step of the schedule.
"""

import math
from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """The learning rate's factor at a step."""

    def __call__(self, step: int | float, stretch: int | float = 1.0) -> float:
        """`step` counts from 0 in steps of the schedule; `stretch` is the number of steps taken for each of them."""
        ...


def warmup_then_decay(
    warmup_steps: int, total_steps: int, final: float, full_steps: int | float = math.inf
) -> Schedule:
    """Rises linearly during warm-up, then falls as a cosine from 1 to `final` at `total_steps`.

    If training takes more than `full_steps` steps, all factors are divided by the ratio, so that the sum of the
    learning rates does not grow. The reason is Adam: it moves a weight whose gradient keeps its sign by the sum of the
    rates, however small the gradient is. This happens in opaque and in empty regions. Without the division, pictures
    were worse after 34,000 steps than after 17,000 (docs/performance.md, long trainings).
    """

    def factor(step: int | float, stretch: int | float = 1.0) -> float:
        whole = min(1.0, full_steps / (total_steps * stretch))
        if step < warmup_steps:
            return whole * (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return whole * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))

    return factor


def exponential(decay_steps: int, gamma: float) -> Schedule:
    """gamma^(step / decay_steps): multiplied by `gamma` every `decay_steps` steps."""
    return lambda step, stretch=1.0: gamma ** (step / decay_steps)
