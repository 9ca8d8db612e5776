"""Runs the jobs of a sweep as separate processes, one at a time on each device."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hashhuman.cli.results import FinishedRun

finished_runs: list[FinishedRun] = []  # the finished runs of this command's sweep, with every launcher


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    name: str  # the overrides in which it differs from the other jobs
    command: Sequence[str]  # the command line
    log: Path  # the file for its output


@dataclass(frozen=True)
class JobResult:
    """The result of a job's process."""

    job: Job
    device: str | None  # CUDA_VISIBLE_DEVICES of the process; None: unchanged
    status: int  # exit status of the process; negative: the number of the signal that ended it
    started: float  # seconds since the epoch
    seconds: float
    reason: str | None = None  # of its failure, as a sentence, where its output does not tell

    @property
    def outcome(self) -> str:
        """What is said as soon as it has ended."""
        return f"{'done' if self.status == 0 else 'FAILED'} after {self.seconds:.0f} s"

    @property
    def last_line(self) -> str:
        """The last line of its output that is not blank."""
        if not self.job.log.exists():
            return ""
        lines = self.job.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @property
    def failure(self) -> str | None:
        """The reason of its failure: `reason`, a signal, or its last line of output; None: it did not fail."""
        if self.status == 0:
            return None
        if self.reason is None and self.status < 0:
            number = -self.status
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            why = ", which the system sends when memory runs out" if number == signal.SIGKILL else ""
            last = f"; its last line: {self.last_line}" if self.last_line else ""
            return f"{name} ended its process{why}{last}"
        return self.reason or self.last_line or f"its process ended with status {self.status} and printed nothing."

    def finished_run(self, overrides: Sequence[str], folder: Path) -> FinishedRun:
        """Converts it for the table of the sweep."""
        log = None if self.status == 0 else self.job.log
        return FinishedRun(list(overrides), folder, self.started, self.seconds, self.failure, self.device, log)


def run_jobs(
    jobs: Sequence[Job], devices: Sequence[str | None], finished: Callable[[JobResult], None] | None = None
) -> list[JobResult]:
    """Runs all jobs, each on the first free device. If a job fails, the others continue.

    An interrupt ends the running jobs with SIGTERM, waits for them and starts no further ones.

    Args:
        jobs: the jobs, in the order in which they start.
        devices: one value of CUDA_VISIBLE_DEVICES for each job that may run at the same time; None: unchanged.
        finished: called with each result in the order of the jobs, also with those of jobs that an interrupt ended.

    Returns:
        The results in the order of the jobs.
    """
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for device in devices:
        free.put(device)
    running: set[subprocess.Popen] = set()
    stopped = threading.Event()

    def work(number: int, job: Job) -> JobResult | None:
        device = free.get()
        try:
            return None if stopped.is_set() else _run(f"{number}/{len(jobs)}", job, device, len(devices), running)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        futures = [pool.submit(work, number, job) for number, job in enumerate(jobs, 1)]
        results: list[JobResult] = []
        waiting = iter(futures)

        def take(future: "Future[JobResult | None]") -> None:
            if (result := future.result()) is not None:
                results.append(result)
                if finished is not None:
                    finished(result)

        future = None
        try:
            for future in waiting:
                take(future)
        except BaseException:
            stopped.set()
            for process in list(running):
                process.terminate()
            for ended in (future, *waiting):  # jobs that the signal has ended belong in the table, too
                if ended is not None:
                    with contextlib.suppress(SystemExit):  # a job's thread whose output nobody reads
                        take(ended)
            raise
        return results


def _run(label: str, job: Job, device: str | None, n_parallel: int, running: set[subprocess.Popen]) -> JobResult:
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # so that the log's last line is what was printed last
    # Without this, each of several processes would take all cores.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n_parallel)))
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
    result = JobResult(job, device, status, started, time.perf_counter() - start)
    print(f"{label}{where}: {result.outcome}", flush=True)
    return result


def devices_of(jobs_at_once: int | None) -> list[str | None]:
    """The devices for `run_jobs`.

    Args:
        jobs_at_once: number of jobs at a time, distributed over the GPUs that this process sees; None: one on each GPU,
            or one without GPUs.
    """
    import torch  # here, because it takes seconds and only sweeps need it

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
