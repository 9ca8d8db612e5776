"""One run on several devices of a host: a process for each, alike but for the rays that it draws.

The process that the user started is rank 0: it prepares the subject, starts the others from the same config, and alone
writes and evaluates. All begin with its parameters and average their gradients before each update, so that parameters
stay equal, and a step does what one process would do with the union of the rays.

The others are `cli/ddp_worker.py`.
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

GRACE = 2.0  # seconds in which another process, whose end broke a collective, is found to have failed


class AveragingStrategy(DDPStrategy):
    """Lightning's process group without its wrapper around the module, which the recording of a step would not survive.

    `trainer=ddp`. The module's attribute `optimizer` averages gradients just before each of its updates.
    """

    def configure_ddp(self) -> None:
        """Gives every process the parameters and buffers of rank 0."""
        module = self.lightning_module
        assert module is not None
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)

    def setup_optimizers(self, trainer: Any) -> None:
        """Makes the module's optimizer, and lets it average."""
        super().setup_optimizers(trainer)
        optimizer: Any = getattr(self.lightning_module, "optimizer", None)
        if not isinstance(optimizer, Optimizer):
            raise UserError("trainer=ddp averages the gradients of `module.optimizer`, and this module has none.")
        optimizer.register_step_pre_hook(_average_before_update)


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replaces each gradient by its mean over all processes, in one collective for each dtype; can be recorded.

    A gradient that this process lacks counts as zero. The mean is that of the union of the batches where every process
    draws as many rays and each loss is a mean over rays.
    """
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learned:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in learned if parameter.grad is not None]
    for dtype in sorted({gradient.dtype for gradient in gradients}, key=str):
        alike = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = torch.cat([gradient.flatten() for gradient in alike])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(alike, flat.split([gradient.numel() for gradient in alike])):
            gradient.copy_(mean.view_as(gradient))


def _average_before_update(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    average_gradients(parameter for group in optimizer.param_groups for parameter in group["params"])


def rank() -> int:
    """This process's place among those of its run; 0 is the one that the user started."""
    return int(os.environ.get("LOCAL_RANK", 0))


@contextlib.contextmanager
def processes(config: DictConfig, count: int) -> Iterator[None]:
    """While it lasts, `count` processes take part in the run, this one among them.

    The others are started here, unless this is one of them or torchrun has started all. If one fails, this process says
    so and ends with its exit status: a collective that waits for it could wait for ever. If this process fails, the
    others are ended. LOCAL_RANK=0 alone means nothing: Lightning leaves it behind in a process that trained so before.
    """
    if count == 1 or rank() or dist.is_torchelastic_launched():
        yield
        _leave()
        return
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        # Recording collectives needs it off, say PyTorch's notes on CUDA graphs; failures are watched for here.
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
    }
    before = {name: os.environ.get(name) for name in (*shared, "LOCAL_RANK")}
    os.environ |= shared | {"LOCAL_RANK": "0"}
    text = json.dumps(OmegaConf.to_container(config, resolve=True)) + "\n"
    others = [_start(place, text) for place in range(1, count)]
    ending = threading.Lock()  # whoever holds it ends the run, for one reason
    watchers = [threading.Thread(target=_watch, args=(others, place, ending), daemon=True) for place in range(1, count)]
    for watcher in watchers:
        watcher.start()
    try:
        yield
        _leave()
        for watcher in watchers:
            watcher.join()
    except BaseException:
        with contextlib.suppress(subprocess.TimeoutExpired):
            if others[0].wait(GRACE):
                watchers[0].join()  # which ends this process
        ending.acquire()
        raise
    finally:
        for other in others:
            other.kill()
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _leave() -> None:
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
    process.stdin.flush()  # and left open: its end tells the process that this one is gone
    return process


def _watch(others: list[subprocess.Popen], place: int, ending: threading.Lock) -> None:
    status = others[place - 1].wait()
    if status == 0:
        return
    ending.acquire()
    for other in others:
        other.kill()
    print(
        f"Process {place} of {len(others) + 1} of this run ended with status {status} (why, it has said above), so "
        "training was stopped.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(status if status > 0 else 1)  # the main thread may be waiting in a collective that nothing interrupts
