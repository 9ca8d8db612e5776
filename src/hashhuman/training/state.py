"""The complete state of a training between two steps: what a checkpoint holds, and how training goes on from it."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def snapshot(trainer: L.Trainer, module: Any) -> dict[str, Any]:
    """Copies the state of a training on its device, between two steps. The host does not wait for the device.

    Args:
        trainer: the trainer.
        module: a `hashhuman.training.lit_module.HumanModule`.

    Returns:
        `state_dict` (weights and buffers), `optimizer`, `scheduler`, `execution` (sizes of the captured step; empty
        without one), `data` (the error map), `random`, `step`, and the states of `callbacks` and `loggers`, by name.
    """
    return copied(
        {
            "state_dict": module.state_dict(),
            "optimizer": _optimizer_state(module.optimizer),
            "scheduler": {k: v for k, v in module.scheduler.state_dict().items() if k != "_last_lr"},
            "execution": module.step.state_dict() if module.step is not None else module.resumed_execution,
            "data": module.datamodule.state_dict(),
            "random": random_state(module.device),
            "step": trainer.global_step,
            "callbacks": {
                callback.state_key: state
                for callback in trainer.callbacks  # type: ignore[attr-defined]
                if (state := callback.state_dict())
            },
            "loggers": logged(trainer.loggers),
        }
    )


def restore(trainer: L.Trainer, module: Any, state: dict[str, Any], steps_per_epoch: int) -> None:
    """Sets a training to a state, before its first step. Weights are copied into the memory that they have.

    Random numbers are left for `set_random_state`: Lightning draws some before the first step.
    """
    module.load_state_dict(state["state_dict"])
    _restore_optimizer(module.optimizer, module.scheduler, state["optimizer"], state["scheduler"])
    module.resumed_execution = state["execution"]
    module.datamodule.load_state_dict(state["data"])
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if callback.state_key in state["callbacks"]:
            callback.load_state_dict(state["callbacks"][callback.state_key])
    restore_logged(trainer.loggers, state["loggers"])
    set_progress(trainer, state["step"], steps_per_epoch)


def logged(loggers: Iterable[Logger]) -> dict[str, Any]:
    """What those loggers have logged that keep it themselves, by their class."""
    return {
        type(logger).__name__: logger.state_dict()  # type: ignore[attr-defined]
        for logger in loggers
        if hasattr(logger, "state_dict")
    }


def restore_logged(loggers: Iterable[Logger], state: Mapping[str, Any]) -> None:
    """Gives loggers what `logged` returned. They must have logged nothing yet."""
    for logger in loggers:
        if type(logger).__name__ in state:
            logger.load_state_dict(state[type(logger).__name__])  # type: ignore[attr-defined]


def set_progress(trainer: L.Trainer, step: int, steps_per_epoch: int) -> None:
    """Makes Lightning's loops count from `step`. The data module yields the rest of the epoch first."""
    loop = trainer.fit_loop
    loop.epoch_loop.manual_optimization.optim_step_progress.total.completed = step
    loop.epoch_loop._batches_that_stepped = step  # the step of logged values
    epochs = loop.epoch_progress
    for progress in (epochs.total, epochs.current):
        progress.ready = progress.completed = step // steps_per_epoch
        progress.started = progress.processed = step // steps_per_epoch  # type: ignore[attr-defined]


def copied(value: Any) -> Any:
    """A copy of nested containers in which every tensor is copied on its device."""
    return _mapped(value, lambda tensor: tensor.detach().clone())


def on_cpu(value: Any) -> Any:
    """Nested containers with every tensor on the CPU."""
    return _mapped(value, lambda tensor: tensor.cpu())


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Nested containers as plain ones, with `function` of every tensor."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, function) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(item, function) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_mapped(item, function) for item in value]
    return value


def _optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's state without the learning rates, which may lie on the device; the schedule knows them."""
    state = optimizer.state_dict()
    groups = [{key: value for key, value in group.items() if key != "lr"} for group in state["param_groups"]]
    return {"state": state["state"], "param_groups": groups}


def _restore_optimizer(optimizer: Optimizer, schedule: LambdaLR, state: dict[str, Any], progress: dict) -> None:
    """Sets an optimizer and its schedule to a state. Its groups stay the same objects, which others refer to."""
    schedule.load_state_dict(progress)
    own = optimizer.param_groups
    rates = [base * factor(schedule.last_epoch) for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas)]
    groups = [group | {"lr": rate} for group, rate in zip(state["param_groups"], rates, strict=True)]
    optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    for group, loaded in zip(own, optimizer.param_groups, strict=True):
        group.clear()
        group.update(loaded)
    optimizer.param_groups = own


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of all random number generators: Python's, numpy's, and PyTorch's of the CPU and of `device`."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # type: ignore[misc]
    state = {
        "python": random.getstate(),
        "numpy": [str(name), np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    return state | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Sets all random number generators."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
