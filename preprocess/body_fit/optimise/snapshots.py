"""Saves a minimisation now and then, so that it goes on after an interruption to the same result."""

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from preprocess.body_fit.sequence import BodySequence

EVERY = 20.0  # seconds between two snapshots
NAME = "minimisation"


class Keeper(Protocol):
    """Keeps named arrays beyond the end of the process (`preprocess.unfinished.Unfinished`)."""

    def load(self, name: str) -> dict[str, np.ndarray] | None: ...

    def save(self, name: str, state: Mapping[str, np.ndarray]) -> None: ...


class Forgetful:
    """Keeps nothing."""

    def load(self, name: str) -> None:
        """Returns None."""

    def save(self, name: str, state: Mapping[str, np.ndarray]) -> None:
        """Does nothing."""


class Snapshots:
    """The parameters of a sequence, Adam's moments, and how many steps of which stage are done.

    Sets the parameters to those of the last snapshot, if there is one.

    Args:
        sequence: whose parameters are minimised.
        keeper: where snapshots are kept.
    """

    def __init__(self, sequence: BodySequence, keeper: Keeper) -> None:
        self.sequence, self.keeper = sequence, keeper
        self.stage, self.steps, self.moments = 0, 0, dict[str, Tensor]()
        self.last = time.monotonic()
        state = {name: torch.from_numpy(value) for name, value in (keeper.load(NAME) or {}).items()}
        places = self._places()
        if all(name in state and state[name].shape == place.shape for name, place in places.items()):
            for name, place in places.items():
                place.copy_(state.pop(name))
            self.stage, self.steps = state.pop("done").tolist()
            self.moments = state

    def _places(self) -> dict[str, Tensor]:
        """The tensors of the sequence that a snapshot holds."""
        sequence = self.sequence
        parameters = {f"parameter/{name}": value.detach() for name, value in sequence.named_parameters()}
        return {**parameters, "normals": sequence.normals}  # those of the last search for correspondences

    def steps_done(self, stage: int, of: int) -> int:
        """How many of the steps of a stage the snapshot has."""
        return of if stage < self.stage else self.steps if stage == self.stage else 0

    def restore(self, optimizer: torch.optim.Adam) -> None:
        """Gives the optimizer its moments."""
        for index, group in enumerate(optimizer.param_groups):
            (place,) = group["params"]
            prefix = f"moment/{index}/"
            optimizer.state[place] = {
                name.removeprefix(prefix): value.to(place.device if value.ndim else "cpu")
                for name, value in self.moments.items()
                if name.startswith(prefix)
            }

    def take(self, stage: int, steps: int, optimizer: torch.optim.Adam | None = None) -> None:
        """Saves a snapshot.

        Args:
            stage: its index.
            steps: how many of its steps are done.
            optimizer: of this stage; None before its first step.
        """
        state = {**self._places(), "done": torch.tensor([stage, steps])}
        if optimizer is not None:
            for index, group in enumerate(optimizer.param_groups):
                (parameter,) = group["params"]
                state |= {f"moment/{index}/{name}": value for name, value in optimizer.state[parameter].items()}
        self.keeper.save(NAME, {name: value.detach().cpu().numpy() for name, value in state.items()})
        self.last = time.monotonic()

    def take_if_due(self, stage: int, steps: int, optimizer: torch.optim.Adam) -> None:
        """Saves a snapshot if the last one is `EVERY` seconds old, and there are steps to save."""
        if steps and time.monotonic() - self.last >= EVERY:
            self.take(stage, steps, optimizer)
