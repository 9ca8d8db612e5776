"""Minimisation in stages. Each stage has weights of terms, and free parameters with their learning rates.

One picture fits many poses almost equally well, and the smoothness terms keep a single frame close to its neighbours. A
stage may therefore blur the gradient over time at first (a Sobolev gradient): whole stretches of frames then move
together to where most of their pictures agree, before every frame finds its own pose.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.errors import UserError
from preprocess.body_fit.optimise.gradients import ObjectiveGradients
from preprocess.body_fit.optimise.snapshots import Forgetful, Keeper, Snapshots
from preprocess.body_fit.optimise.terms import Terms
from preprocess.body_fit.sequence import Posed

REMATCH = 10  # steps between two searches for correspondences
LAST_RATE = 0.05  # share of the learning rate that is left at the end of a stage
BLURRED = 0.7  # share of a stage's steps over which its blur falls to zero
SHARP = 0.3  # frames: a smaller deviation has no effect, and is skipped
SETTINGS = ("steps", "weights", "free", "blur")


def minimise(
    terms: Terms, stages: Sequence[Mapping[str, Any]], tick: Callable[[], None], keeper: Keeper | None = None
) -> Posed:
    """Runs the stages on the sequence of the terms, by Adam with a cosine schedule, and returns the body it ends with.

    Args:
        terms: the terms, and with them the sequence, whose parameters are changed in place.
        stages: mappings with `steps`, `weights` {term: weight}, `free` {parameter: learning rate} and optionally
            `blur`, the deviation (frames) of the Gaussian that blurs the gradient at first.
        tick: called after each step.
        keeper: keeps snapshots; a minimisation that finds one goes on from there. None: there are none.

    Raises UserError for a setting, a term or a parameter that does not exist.
    """
    sequence = terms.sequence
    for stage in stages:
        _check(terms, stage)
    snapshots = Snapshots(sequence, keeper or Forgetful())
    for index, stage in enumerate(stages):
        done = snapshots.steps_done(index, stage["steps"])
        for _ in range(done):
            tick()
        if done < stage["steps"]:
            _run(terms, stage, index, done, snapshots, tick)
            snapshots.take(index + 1, 0)
    with torch.no_grad():
        return sequence()


def _run(
    terms: Terms, stage: Mapping[str, Any], index: int, done: int, snapshots: Snapshots, tick: Callable[[], None]
) -> None:
    """Runs the steps of a stage that are not done."""
    sequence, steps = terms.sequence, stage["steps"]
    groups = [{"params": [getattr(sequence, name)], "lr": rate} for name, rate in stage["free"].items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    if done:
        snapshots.restore(optimizer)
    moving = [getattr(sequence, name) for name in sequence.PER_FRAME if name in stage["free"]]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * (done + i) / steps))
    )
    set_gradients = ObjectiveGradients(terms, stage["weights"], list(stage["free"]))
    for step in range(done, steps):
        if step % REMATCH == 0:  # also where snapshots are taken: correspondences are searched after it
            snapshots.take_if_due(index, step, optimizer)
            set_gradients.rematch()
        set_gradients()
        deviation = stage.get("blur", 0) * (1 - step / (BLURRED * steps))
        if deviation > SHARP:
            for parameter in moving:
                parameter.grad = blur(parameter.grad, deviation)
        optimizer.step()
        schedule.step()
        tick()


def blur(x: Float[Tensor, "F *rest"], deviation: float) -> Float[Tensor, "F *rest"]:
    """Blurs over the frames with a Gaussian of the given deviation (frames), normalised at both ends."""
    reach = math.ceil(3 * deviation)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / deviation).square())[None, None]
    series = x.flatten(1).T[:, None]
    total = torch.nn.functional.conv1d(series, kernel, padding=reach)
    weight = torch.nn.functional.conv1d(torch.ones_like(series[:1]), kernel, padding=reach)
    return (total / weight)[:, 0].T.reshape(x.shape)


def _check(terms: Terms, stage: Mapping[str, Any]) -> None:
    """Raises UserError for a setting, a term or a parameter that does not exist."""
    for name in stage:
        if name not in SETTINGS:
            raise UserError(f"preprocess.body_fit.stages has no setting '{name}': use {', '.join(SETTINGS)}.")
    parameters = dict(terms.sequence.named_parameters())
    for name in stage["free"]:
        if name not in parameters:
            raise UserError(
                f"preprocess.body_fit.stages frees '{name}', which is no parameter: use {', '.join(parameters)}."
            )
    for name in stage["weights"]:
        if name not in terms.NAMES:
            raise UserError(
                f"preprocess.body_fit.stages weighs '{name}', which is no term: use {', '.join(terms.NAMES)}."
            )
