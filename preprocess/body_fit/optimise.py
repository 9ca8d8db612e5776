"""Staged minimisation: each stage names its terms' weights and what is free to move, with its learning rate."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from hashhuman.errors import UserError
from preprocess.body_fit.sequence import Posed
from preprocess.body_fit.terms import Terms

REMATCH = 10  # steps between two searches for correspondences
LAST_RATE = 0.05  # of a stage's learning rate, at its end


def minimise(terms: Terms, stages: Sequence[Mapping[str, Any]], tick: Callable[[], None]) -> Posed:
    """Runs the stages on the terms' sequence by Adam with a cosine schedule and returns the body as it stands.

    Args:
        stages: mappings with `steps`, `weights` {term: weight} and `free` {parameter: learning rate}.
        tick: called after each step.

    Raises UserError for a term or a parameter that does not exist.
    """
    sequence = terms.sequence
    for stage in stages:
        _check(terms, stage)
        groups = [{"params": [getattr(sequence, name)], "lr": rate} for name, rate in stage["free"].items()]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        steps = stage["steps"]
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i, n=steps: LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * i / n))
        )
        for step in range(steps):
            posed = sequence()
            if step % REMATCH == 0:
                sequence.refresh_normals()
                terms.match(posed, stage["weights"])
            values = [weight * getattr(terms, name)(posed) for name, weight in stage["weights"].items()]
            loss = torch.stack(values).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            tick()
    with torch.no_grad():
        return sequence()


def _check(terms: Terms, stage: Mapping[str, Any]) -> None:
    parameters = dict(terms.sequence.named_parameters())
    for name in stage["free"]:
        if name not in parameters:
            raise UserError(f"body_fit has no parameter '{name}' to free; there are {', '.join(parameters)}.")
    for name in stage["weights"]:
        if name not in terms.NAMES:
            raise UserError(f"body_fit has no term '{name}' to weigh; there are {', '.join(terms.NAMES)}.")
