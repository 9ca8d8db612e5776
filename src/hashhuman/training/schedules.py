"""Learning-rate factors as functions of the step.

Where a training is as long as a budget allows (`training/time_budget.py`), a schedule is stretched: the step may then
lie between two, and `stretch` says how many steps are taken for each of the schedule's.
"""

import math
from typing import Protocol, runtime_checkable


@runtime_checkable
class Schedule(Protocol):
    """The learning rate's factor at a step."""

    def __call__(self, step: int | float, stretch: int | float = 1.0) -> float:
        """`stretch`: steps taken for each of the schedule's."""
        ...


def warmup_then_decay(
    warmup_steps: int, total_steps: int, final: float, full_steps: int | float = math.inf
) -> Schedule:
    """Rises linearly over the warm-up, then falls as a cosine from 1 to `final` at `total_steps`.

    In a training of more than `full_steps` steps it is lower throughout, by the factor by which there are more. Where
    gradients keep their sign, and those of what is opaque or empty do, Adam moves weights by the sum of the rates,
    however small the gradients are. So the sum is kept: without that, pictures were worse after 34,000 steps than after
    17,000 (docs/performance.md, long trainings).
    """

    def factor(step: int | float, stretch: int | float = 1.0) -> float:
        whole = min(1.0, full_steps / (total_steps * stretch))
        if step < warmup_steps:
            return whole * (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return whole * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))

    return factor


def exponential(decay_steps: int, gamma: float) -> Schedule:
    """gamma^(step / decay_steps): falls by `gamma` every `decay_steps`."""
    return lambda step, stretch=1.0: gamma ** (step / decay_steps)
