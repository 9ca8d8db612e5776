"""A Hydra launcher for Slurm: `hydra/launcher=submitit`. `hashhuman.cli.cluster` does the work.

Hydra's own plugin of this name has had no release since 2022. It runs the job's function itself, so that a job cannot
end with a status of its own, and begins anew after pre-emption.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_plugins.gpu_launcher import CommandLauncher


class SubmititLauncher(CommandLauncher):
    """Submits the jobs to Slurm and waits for them; a job that is pre-empted is put back into the queue and goes on.

    Args:
        cluster: `slurm`, or `local` for processes of this host.
        dry_run: print the script of each job instead of submitting it.
        restarts: how often a job may run out of its time.
        slurm: options of sbatch, with underscores.
    """

    def __init__(self, cluster: str, dry_run: bool, restarts: int, slurm: Mapping[str, Any]) -> None:
        self.cluster, self.dry_run, self.restarts, self.slurm = cluster, dry_run, restarts, slurm

    def run(self, jobs: Sequence[Any], folder: Path, finished: Callable[[Any], None]) -> None:
        """Runs them. Raises UserError if submitit or Slurm is missing, or an option does not exist."""
        from hashhuman.cli import cluster

        files = folder.absolute() / ".submitit"
        if self.dry_run:
            for job in jobs:
                print(f"# {job.name}\n{cluster.job_script(job.command, files / '%j', self.slurm)}", flush=True)
            print(f"{len(jobs)} jobs, none submitted: leave out hydra.launcher.dry_run to submit them.", flush=True)
            return
        cluster.submit_jobs(jobs, files, self.cluster, self.slurm, self.restarts, finished)
