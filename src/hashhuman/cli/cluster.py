"""Runs the jobs of a sweep on a cluster, by submitit: Slurm, or processes of this host that behave like it.

A job that is about to run out of its time, or is pre-empted, saves, ends and is put back into the queue. Then it runs
the same command again, which goes on with what is not finished.
"""

import importlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hashhuman.cli.sweep import Job, JobResult
from hashhuman.errors import UserError
from hashhuman.io.packages import require_package

CLUSTERS = ("slurm", "local")
POLL = 1.0  # seconds between two looks at the jobs
GRACE = 600.0  # seconds that a queue may take to end a job that it has sent SIGTERM

# Slurm sends its warning to all processes of a job, and only submitit's knows what it means.
_DEAF = ["sh", "-c", 'trap "" USR1 USR2; exec "$@"', "sh"]


class QueuedCommand:
    """Runs a command on a node of the cluster; what submitit sends there.

    Args:
        command: the command line, which goes on with its unfinished work if it is run again.
        log: the file that its output is appended to.
        threads: OMP_NUM_THREADS of the command, unless the environment sets it; None: unchanged.
    """

    def __init__(self, command: Sequence[str], log: Path, threads: int | None = None) -> None:
        self.command, self.log, self.threads = list(command), log, threads
        self.pid: int | None = None
        self.status: int | None = None

    def __call__(self) -> tuple[int, float, float]:
        """Runs it. Returns its exit status, when it began (seconds since the epoch), and how long it took (seconds)."""
        started, start = time.time(), time.perf_counter()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        if self.threads is not None:
            environment.setdefault("OMP_NUM_THREADS", str(self.threads))
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*_DEAF, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            self.pid = process.pid

            def wait() -> None:
                self.status = process.wait()

            threading.Thread(target=wait, daemon=True).start()
            status = self._ended()  # in steps, since `checkpoint` runs in this thread, inside a signal handler
        if status == 128 + signal.SIGTERM:
            time.sleep(GRACE)  # the queue has ended it, and decides whether to run it again
        return status, started, time.perf_counter() - start

    def _ended(self) -> int:
        while self.status is None:
            time.sleep(0.1)
        return self.status

    def checkpoint(self) -> Any:
        """Lets the command save and end; called by submitit before it puts the job back into the queue."""
        if self.pid is not None and self.status is None:
            os.kill(self.pid, signal.SIGTERM)
            self._ended()
        submitit: Any = importlib.import_module("submitit")
        return submitit.helpers.DelayedSubmission(QueuedCommand(self.command, self.log, self.threads))


def job_script(command: Sequence[str], folder: Path, slurm: Mapping[str, Any]) -> str:
    """What would be submitted to Slurm for a job.

    Args:
        command: the job's command line.
        folder: for the files of Slurm and submitit.
        slurm: options of sbatch, with underscores; null ones are left out.

    Raises UserError for an option that does not exist.
    """
    slurm_module = _module("submitit.slurm.slurm")
    given = {name: value for name, value in slurm.items() if value is not None}
    try:
        return slurm_module._make_sbatch_string(command=shlex.join(command), folder=folder, **given)
    except TypeError as error:
        raise _unknown_option(error) from None


def submit_jobs(
    jobs: Sequence[Job], folder: Path, cluster: str, slurm: Mapping[str, Any], restarts: int,
    finished: Callable[[JobResult], None],
) -> None:  # fmt: skip
    """Submits all jobs, and waits for them. If one fails, the others continue.

    An interrupt cancels them: the same sweep, run again, submits what is not finished.

    Args:
        jobs: the jobs.
        folder: for the files of submitit and the cluster; all nodes must see it.
        cluster: one of `CLUSTERS`.
        slurm: options of sbatch, with underscores; of a local cluster, `time` and `cpus_per_task` alone count.
        restarts: how often a job may run out of its time.
        finished: called with each result at the end, in the order of the jobs.

    Raises UserError if submitit or Slurm is missing, or an option does not exist.
    """
    given = {name: value for name, value in slurm.items() if value is not None}
    executor = _executor(cluster, folder / "%j", given, restarts)
    threads = given.get("cpus_per_task")
    with executor.batch():
        handles = [executor.submit(QueuedCommand(job.command, job.log.absolute(), threads)) for job in jobs]
    print(f"{len(jobs)} jobs submitted to {cluster}; their files are in {folder}", flush=True)
    waiting = dict(enumerate(handles))
    results: dict[int, JobResult] = {}
    try:
        while waiting:
            for number in [number for number, handle in waiting.items() if handle.done()]:
                results[number] = result = _result(jobs[number], waiting.pop(number))
                print(f"{number + 1}/{len(jobs)}: {result.outcome} ({jobs[number].name})", flush=True)
            time.sleep(POLL if waiting else 0)
    finally:
        for number, handle in waiting.items():
            handle.cancel(check=False)
            results[number] = JobResult(jobs[number], None, -signal.SIGTERM, time.time(), 0.0, "it was cancelled.")
        for number in sorted(results):
            finished(results[number])


def _result(job: Job, handle: Any) -> JobResult:
    error = handle.exception()
    if error is None:
        return JobResult(job, None, *handle.result())
    reason = f"{handle.state.lower()} by the cluster, see {handle.paths.stderr}."
    return JobResult(job, None, -signal.SIGKILL, time.time(), 0.0, reason)


def _executor(cluster: str, folder: Path, slurm: Mapping[str, Any], restarts: int) -> Any:
    if cluster not in CLUSTERS:
        raise UserError(f"hydra.launcher.cluster={cluster} is none of {', '.join(CLUSTERS)}.")
    submitit = _module("submitit")
    if cluster == "local":
        executor = submitit.LocalExecutor(folder, max_num_timeout=restarts)
        executor.update_parameters(timeout_min=slurm["time"], signal_delay_s=slurm.get("signal_delay_s", 30))
        return executor
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=restarts)
        executor.update_parameters(**slurm)
    except RuntimeError:
        raise UserError(
            "hydra/launcher=submitit found no srun: start the sweep where Slurm's commands are, or use "
            "hydra.launcher.cluster=local."
        ) from None
    except ValueError as error:
        raise _unknown_option(error) from None
    return executor


def _unknown_option(error: Exception) -> UserError:
    return UserError(f"hydra.launcher.slurm has an option that sbatch lacks: {str(error).splitlines()[0]}.")


def _module(name: str) -> Any:
    return require_package(name, "hydra/launcher=submitit", "`pip install 'hashhuman[slurm]'`", "submitit")
