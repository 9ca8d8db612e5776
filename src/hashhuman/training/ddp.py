"""Data-parallel training: one run on several devices of a host, with one process per device.

The process that the user started has rank 0. It prepares the subject and starts the other processes
(`cli/ddp_worker.py`) from the same config. Only rank 0 writes files and evaluates. All processes start with its
parameters, draw different rays, and average their gradients before each update. So parameters stay equal, and a step is
the step of one process with the union of the rays.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer

from hashhuman.errors import UserError

SUM_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FEW_RAYS = 16384  # of a step; up to so many, two GPUs were no faster than one (docs/performance.md, "Several GPUs")
GRACE = 2.0  # seconds to wait for the exit of another process that may have caused a failed collective


class AveragingStrategy(DDPStrategy):
    """Lightning's DDP strategy without the wrapper around the module, which cannot be captured in a CUDA graph.

    Used by `trainer=ddp`. The module's attribute `optimizer` averages the gradients just before each update.

    Args:
        sum_dtype: dtype in which gradients travel, `float32` or `bfloat16`. bfloat16 has float32's range, and half the
            bytes; each gradient keeps 8 bits of its mantissa.
        options: of Lightning's strategy.
    """

    def __init__(self, sum_dtype: str = "float32", **options: Any) -> None:
        super().__init__(**options)
        self.sum_dtype = SUM_DTYPES[sum_dtype]

    @staticmethod
    def require(sum_dtype: str = "float32", **options: Any) -> None:
        """Raises UserError if gradients cannot travel in that dtype."""
        if sum_dtype not in SUM_DTYPES:
            raise UserError(f"trainer.strategy.sum_dtype={sum_dtype} is unknown: it may be {' or '.join(SUM_DTYPES)}.")

    def configure_ddp(self) -> None:
        """Gives every process the parameters and buffers of rank 0. To be called again if they were changed since."""
        module = self.lightning_module
        assert module is not None
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)

    def setup_optimizers(self, trainer: Any) -> None:
        """Makes the module's optimizer, and registers the averaging. Raises UserError if the module has none.

        One line tells the user if one GPU may be faster.
        """
        super().setup_optimizers(trainer)
        sampler = getattr(trainer.datamodule, "ray_sampler", None)
        if sampler and self.root_device.type == "cuda" and trainer.is_global_zero and trainer.world_size > 1:
            advise(sampler.n_rays)
        optimizer: Any = getattr(self.lightning_module, "optimizer", None)
        if not isinstance(optimizer, Optimizer):
            raise UserError("trainer=ddp averages the gradients of `module.optimizer`, but this module has none.")
        optimizer.register_step_pre_hook(self._average_before_update)

    def _average_before_update(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        average_gradients(
            (parameter for group in optimizer.param_groups for parameter in group["params"]), self.sum_dtype
        )


def advise(n_rays: int) -> None:
    """Prints a line if a step has so few rays that several GPUs may take longer for it than one."""
    if n_rays <= FEW_RAYS:
        print(
            f"trainer=ddp: a step has {n_rays} rays, which are few. With 16384, one H200 took 289 steps a second and "
            "two took 288; with 4096, 567 and 376: leave trainer=ddp out, or raise data.ray_sampler.n_rays.",
            flush=True,
        )


def average_gradients(parameters: Iterable[torch.nn.Parameter], sum_dtype: torch.dtype | None = None) -> None:
    """Replaces each gradient by its mean over all processes, with one collective per dtype. Can be captured.

    A missing gradient counts as zero. If all processes draw equally many rays and each loss is a mean over rays, the
    result is the gradient of the union of the batches.

    Args:
        parameters: parameters with gradients; those that are not learned are left alone.
        sum_dtype: dtype in which float32 gradients travel and are summed; None: their own. The mean is rounded to it,
            in all processes alike, so that parameters stay equal.
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in learned if parameter.grad is not None]
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        alike = [gradient for gradient in gradients if gradient.dtype == dtype]
        sizes = [gradient.numel() for gradient in alike]
        travels = sum_dtype if sum_dtype and dtype == torch.float32 else dtype
        flat = torch.empty(sum(sizes), dtype=travels, device=alike[0].device)
        places = [place.view_as(gradient) for gradient, place in zip(alike, flat.split(sizes))]
        copy: Any = torch._foreach_copy_  # type: ignore[attr-defined]  # a few kernels for all, which also convert
        copy(places, alike)
        _average(flat)
        copy(alike, places)


def _average(flat: torch.Tensor) -> None:
    """The mean over all processes, in place."""
    if dist.get_backend() == "nccl":  # it divides while it sums, which saves a pass over the gradients
        dist.all_reduce(flat, dist.ReduceOp.AVG)
        return
    dist.all_reduce(flat)
    flat /= dist.get_world_size()


def rank() -> int:
    """The rank of this process; 0 is the process that the user started."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextlib.contextmanager
def processes(config: DictConfig, count: int) -> Iterator[None]:
    """Context in which `count` processes take part in the run, including this one.

    Starts the other processes, unless this is one of them or torchrun has started all. If another process fails, this
    process prints a message and exits with its status, because a collective would wait for the failed process for ever.
    If this process fails, the others are killed. LOCAL_RANK=0 does not mean that others exist: Lightning leaves it in
    the environment of a process that trained before.

    Args:
        config: the run's config, for the other processes.
        count: number of processes.
    """
    if count == 1 or rank() or dist.is_torchelastic_launched():
        yield
        _destroy_process_group()
        return
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # Off, as PyTorch's notes on CUDA graphs require for capturing collectives. Failures are detected below instead.
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
    }
    before = {name: os.environ.get(name) for name in (*shared, "LOCAL_RANK")}
    os.environ |= shared | {"LOCAL_RANK": "0"}
    text = json.dumps(OmegaConf.to_container(config, resolve=True)) + "\n"
    others = [_start(place, text) for place in range(1, count)]
    ending = threading.Lock()  # its holder ends the run, so that only one reason is reported
    watchers = [threading.Thread(target=_watch, args=(others, place, ending), daemon=True) for place in range(1, count)]
    for watcher in watchers:
        watcher.start()
    try:
        yield
        _destroy_process_group()
        for watcher in watchers:
            watcher.join()
    except BaseException:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if others[0].wait(GRACE):
                watchers[0].join()  # this watcher ends the process
        ending.acquire()
        raise
    finally:
        for other in others:
            other.kill()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _destroy_process_group() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(place: int, text: str) -> subprocess.Popen:
    environment = os.environ | {"LOCAL_RANK": str(place)}
    process = subprocess.Popen(
        [sys.executable, "-m", "hashhuman.cli.ddp_worker"], stdin=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()  # left open: when it closes, the worker knows that this process has ended
    return process


def _watch(others: list[subprocess.Popen], place: int, ending: threading.Lock) -> None:
    status = others[place - 1].wait()
    if status == 0:
        return
    ending.acquire()
    for other in others:
        other.kill()
    try:
        print(
            f"Process {place} of {len(others) + 1} of this run ended with status {status} (its own message is above), "
            "so training was stopped.",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(status if status > 0 else 1)  # the main thread may wait in a collective, which cannot be interrupted
