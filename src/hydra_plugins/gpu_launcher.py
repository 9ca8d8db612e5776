"""A Hydra launcher for hosts with several GPUs: `hydra/launcher=gpus`.

Hydra finds plugins only in the namespace `hydra_plugins`, and imports all of them at every start. So this file is kept
small, and `hashhuman.cli.sweep` does the work.
"""

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher

NOT_FOR_JOBS = ("hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweep", "hydra.mode", "hydra.run.dir")


class CommandLauncher(Launcher, abc.ABC):
    """Runs each job of a multirun as a command of its own, with its own overrides.

    Its run folder lies below the sweep's folder, and its output goes to `run.log` there. If a job fails, the others
    continue. `hydra_main` prints the table of results.
    """

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Keeps Hydra's context and config of the sweep."""
        self.context, self.config = hydra_context, config

    @abc.abstractmethod
    def run(self, jobs: Sequence[Any], folder: Path, finished: Callable[[Any], None]) -> None:
        """Runs jobs (`hashhuman.cli.sweep.Job`) of a sweep.

        Args:
            jobs: the jobs.
            folder: of the sweep.
            finished: to be called with each result (`sweep.JobResult`).

        Raises UserError if an option of the launcher is wrong.
        """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[Any]:
        """Runs one batch of jobs and keeps their results. Raises UserError as `run` does."""
        from hydra.core.utils import JobReturn, JobStatus, filter_overrides

        from hashhuman.cli import job_folders, sweep

        settings = [text for text in self.config.hydra.overrides.hydra if not text.startswith(NOT_FOR_JOBS)]
        root = Path(self.config.hydra.sweep.dir)
        folders = [root / self._subfolder(job, number) for number, job in enumerate(job_overrides, initial_job_idx)]
        program = [*sweep.this_program(), "--config-name", self.config.hydra.job.config_name]
        names = job_folders.differences([filter_overrides(overrides) for overrides in job_overrides])
        jobs: list[sweep.Job] = []
        for name, overrides, folder in zip(names, job_overrides, folders):
            command = [*program, *overrides, *settings, f"hydra.run.dir='{folder.absolute()}'"]
            jobs.append(sweep.Job(name, command, folder / "run.log"))

        def finished(result: sweep.JobResult) -> None:
            number = jobs.index(result.job)
            run = result.finished_run(filter_overrides(job_overrides[number]), folders[number])
            sweep.finished_runs.append(run)

        self.run(jobs, root, finished)
        return [JobReturn(overrides=overrides, status=JobStatus.COMPLETED) for overrides in job_overrides]

    def _subfolder(self, overrides: Sequence[str], number: int) -> str:
        from omegaconf import open_dict

        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return str(config.hydra.sweep.subdir)


class GpuLauncher(CommandLauncher):
    """Runs the jobs as processes of this host, one at a time on each GPU.

    Args:
        n_jobs: number of jobs at a time; None: one on each GPU, or one without GPUs.
    """

    def __init__(self, n_jobs: int | None) -> None:
        self.n_jobs = n_jobs

    def run(self, jobs: Sequence[Any], folder: Path, finished: Callable[[Any], None]) -> None:
        """Runs them. Raises UserError if `n_jobs` is no whole number above 0."""
        from hashhuman.cli import sweep
        from hashhuman.errors import UserError

        if self.n_jobs is not None and (type(self.n_jobs) is not int or self.n_jobs < 1):
            raise UserError(f"hydra.launcher.n_jobs={self.n_jobs} must be at least 1 and whole, or null for one a GPU.")
        sweep.run_jobs(jobs, sweep.devices_of(self.n_jobs), finished)
