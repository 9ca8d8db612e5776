"""Runs of a sweep, each a process of its own, one at a time on every device."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hashhuman.cli.results import Ended

ended: list[Ended] = []  # the runs of this command's sweep, whichever launcher started them


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  # what sets it apart
    command: Sequence[str]
    log: Path  # all that it prints


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    job: Job
    device: str | None
    status: int  # the process's exit status; negative: the signal that ended it
    started: float  # seconds since the epoch
    seconds: float

    @property
    def last_line(self) -> str:
        """The last thing that it printed."""
        lines = self.job.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @property
    def failure(self) -> str | None:
        """Why it failed, as it said itself; None: it did not."""
        if self.status == 0:
            return None
        return self.last_line or f"its process ended with status {self.status} and said nothing."

    def ended(self, overrides: Sequence[str], folder: Path) -> Ended:
        """The same for the table of the sweep."""
        log = None if self.status == 0 else self.job.log
        return Ended(list(overrides), folder, self.started, self.seconds, self.failure, self.device, log)


def run_jobs(jobs: Sequence[Job], devices: Sequence[str | None]) -> list[Outcome]:
    """Runs every job, each on the device that is free first; a failure does not stop the others.

    Args:
        jobs: in the order in which they start.
        devices: what CUDA_VISIBLE_DEVICES shall say, one entry for each job that may run at a time; None leaves it be.

    Interrupted, it ends the jobs that run and starts no more.
    """
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for device in devices:
        free.put(device)
    running: set[subprocess.Popen] = set()
    stopped = threading.Event()

    def work(number: int, job: Job) -> Outcome | None:
        device = free.get()
        try:
            return None if stopped.is_set() else _run(f"{number}/{len(jobs)}", job, device, len(devices), running)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        futures = [pool.submit(work, number, job) for number, job in enumerate(jobs, 1)]
        try:
            return [outcome for future in futures if (outcome := future.result()) is not None]
        except BaseException:
            stopped.set()
            for process in list(running):
                process.terminate()
            raise


def _run(label: str, job: Job, device: str | None, beside: int, running: set[subprocess.Popen]) -> Outcome:
    environment = dict(os.environ)
    # Without this, each of several processes would take all cores.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // beside)))
    if device is not None:
        environment["CUDA_VISIBLE_DEVICES"] = device
    where = "" if device is None else f" on GPU {device}"
    print(f"{label}{where}: {job.name}", flush=True)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    started, start = time.time(), time.perf_counter()
    with job.log.open("wb") as log:
        process = subprocess.Popen(
            job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )
        running.add(process)
        status = process.wait()
        running.discard(process)
    outcome = Outcome(job, device, status, started, time.perf_counter() - start)
    print(f"{label}{where}: {'done' if status == 0 else 'FAILED'} after {outcome.seconds:.0f} s", flush=True)
    return outcome


def devices_of(jobs_at_once: int | None) -> list[str | None]:
    """Devices for `run_jobs`: all GPUs that this process sees, or as many places as asked for, on the GPUs in turn."""
    import torch  # seconds, which a run without a sweep has no use for

    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    gpus: list[str | None] = [*(named or map(str, range(torch.cuda.device_count())))]
    gpus = gpus if torch.cuda.is_available() else []
    places = max(1, len(gpus)) if jobs_at_once is None else jobs_at_once
    return [gpus[i % len(gpus)] if gpus else None for i in range(places)]


def this_program() -> list[str]:
    """The command that started this process, without its arguments."""
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        return [sys.executable, os.path.abspath(sys.argv[0])]
    return [sys.executable, "-m", spec.name.removesuffix(".__main__")]
