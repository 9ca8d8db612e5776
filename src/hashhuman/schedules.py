"""Learning-rate factors as functions of the step, which may lie between two (`hashhuman.budget`)."""

import math
from collections.abc import Callable


def warmup_then_decay(warmup_steps: int, total_steps: int, final: float) -> Callable[[int | float], float]:
    """Rises linearly over the warm-up, then falls as a cosine from 1 to `final` at `total_steps`."""

    def factor(step: int | float) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor


def exponential(decay_steps: int, gamma: float) -> Callable[[int | float], float]:
    """gamma^(step / decay_steps): falls by `gamma` every `decay_steps`."""
    return lambda step: gamma ** (step / decay_steps)
