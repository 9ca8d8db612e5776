"""Staged minimisation: each stage names its terms' weights and what is free to move, with its learning rate.

One picture leaves many poses almost equally good, and a frame that moves alone is held where it is by its neighbours. A
stage may therefore begin with the gradient blurred over time (a Sobolev gradient): first whole stretches of frames move
together, to where most of their pictures want them, then each finds its own pose.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from preprocess.body_fit.optimise.gradients import Slope
from preprocess.body_fit.optimise.sequence import Posed
from preprocess.body_fit.optimise.terms import Terms

REMATCH = 10  # steps between two searches for correspondences
LAST_RATE = 0.05  # of a stage's learning rate, at its end
BLURRED = 0.7  # of a stage's steps, over which its blur falls to nothing
SHARP = 0.3  # frames: a lesser deviation blurs nothing
SETTINGS = ("steps", "weights", "free", "blur")


def minimise(terms: Terms, stages: Sequence[Mapping[str, Any]], tick: Callable[[], None]) -> Posed:
    """Runs the stages on the terms' sequence by Adam with a cosine schedule and returns the body as it stands.

    Args:
        stages: mappings with `steps`, `weights` {term: weight}, `free` {parameter: learning rate} and, if wished,
            `blur`: the deviation (frames) by which the gradient is blurred at first.
        tick: called after each step.

    Raises UserError for a setting, a term or a parameter that does not exist.
    """
    sequence = terms.sequence
    for stage in stages:
        _check(terms, stage)
        groups = [{"params": [getattr(sequence, name)], "lr": rate} for name, rate in stage["free"].items()]
        optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
        moving = [getattr(sequence, name) for name in sequence.PER_FRAME if name in stage["free"]]
        steps = stage["steps"]
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda i, n=steps: LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * i / n))
        )
        slope = Slope(terms, stage["weights"], list(stage["free"]))
        for step in range(steps):
            if step % REMATCH == 0:
                slope.rematch()
            slope()
            deviation = stage.get("blur", 0) * (1 - step / (BLURRED * steps))
            if deviation > SHARP:
                for parameter in moving:
                    parameter.grad = blur(parameter.grad, deviation)
            optimizer.step()
            schedule.step()
            tick()
    with torch.no_grad():
        return sequence()


def blur(x: Float[Tensor, "F *rest"], deviation: float) -> Float[Tensor, "F *rest"]:
    """Mean over the frames about each, weighted by a Gaussian of that deviation (frames)."""
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / deviation).square())[None, None]
    series = x.flatten(1).T[:, None]
    total = torch.nn.functional.conv1d(series, kernel, padding=reach)
    weight = torch.nn.functional.conv1d(torch.ones_like(series[:1]), kernel, padding=reach)
    return (total / weight)[:, 0].T.reshape(x.shape)


def _check(terms: Terms, stage: Mapping[str, Any]) -> None:
    for name in stage:
        if name not in SETTINGS:
            raise UserError(f"A stage of body_fit has no setting '{name}'; there are {', '.join(SETTINGS)}.")
    parameters = dict(terms.sequence.named_parameters())
    for name in stage["free"]:
        if name not in parameters:
            raise UserError(f"body_fit has no parameter '{name}' to free; there are {', '.join(parameters)}.")
    for name in stage["weights"]:
        if name not in terms.NAMES:
            raise UserError(f"body_fit has no term '{name}' to weigh; there are {', '.join(terms.NAMES)}.")
