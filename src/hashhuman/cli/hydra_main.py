"""What the entry points share: Hydra, the checks before a job, errors as one sentence, and the end of a sweep."""

import functools
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hashhuman.checks.ranges import check_ranges
from hashhuman.cli import arguments, empty_folders, job_folders, lean_imports, sweep
from hashhuman.cli.arguments import quote_paths as quote_paths
from hashhuman.cli.explain import explain as explain
from hashhuman.cli.help import help_text
from hashhuman.cli.results import Ended, judged, print_results
from hashhuman.cli.suggest import suggestion
from hashhuman.io.packages import cause_of


def run(
    job: Callable[[DictConfig], None],
    config_path: str,
    config_name: str,
    path_option: str | None = None,
    result: str | None = None,
) -> None:
    """Runs a job under Hydra, once or for every combination of a multirun.

    What the user can mend is printed as one sentence, with exit status 2; other jobs of a multirun go on, and a table
    tells at the end how each of them went. Output folders that stay empty are removed.

    Args:
        config_path: the config folder, relative to the job's file, so that programs run from any folder.
        config_name: the root config.
        path_option: the option that a path without a name stands for.
        result: a pattern of a file below the run folder that every good run of a sweep writes.
    """
    folder = (Path(inspect.getfile(job)).resolve().parent / config_path).resolve()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises what is wrong with the command line
    # Read when torch is imported. Threads that spin while they wait make a busy CPU many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    lean_imports.spare_lightning()
    _start_afresh(folder)
    command = _Command(job, folder, config_name)
    try:
        sys.argv[1:] = arguments.prepared(sys.argv[1:], path_option)
        hydra.main(version_base="1.3", config_path=str(command.folder), config_name=config_name)(command.guarded)()
    except Exception as error:
        command.failed = True
        command.tell(error)
    finally:
        empty_folders.remove()
        if _finish_sweep(result):
            command.failed = True
    if command.failed:
        sys.exit(2)


def _start_afresh(config_folder: Path) -> None:
    """What a command leaves in this process must not reach the next, and what configs call must be known."""
    empty_folders.forget()
    job_folders.forget()
    sweep.ended.clear()
    OmegaConf.register_new_resolver("job_folder", job_folders.job_folder, replace=True)
    OmegaConf.register_new_resolver("help_text", functools.partial(help_text, config_folder), replace=True)


class _Command:
    """A job that reports its errors itself, so that other jobs of a sweep go on."""

    def __init__(self, job: Callable[[DictConfig], None], folder: Path, config_name: str) -> None:
        self.job, self.folder, self.config_name = job, folder, config_name
        self.failed = False
        self.guarded = functools.wraps(job)(lambda config: self._guarded(config))

    def _guarded(self, config: DictConfig) -> None:
        started, failure = time.time(), "it was interrupted."
        try:
            check_ranges(config)
            self.job(config)
            failure = None
        except Exception as error:
            self.failed = True
            failure = explain(error) or cause_of(error)
            self.tell(error)
        finally:
            context = HydraConfig.get()
            if context.mode == RunMode.MULTIRUN:
                folder = Path(context.runtime.output_dir)
                seconds = time.time() - started
                sweep.ended.append(Ended(list(context.overrides.task), folder, started, seconds, failure))

    def tell(self, error: Exception) -> None:
        """Prints the sentence; raises the error if it is a fault of the program."""
        sentence = explain(error)
        if sentence is None:
            raise error
        meant = suggestion(error, self.folder, self.config_name, sys.argv[1:])
        print(f"{sentence.rstrip('.')}; did you mean {meant}?" if meant else sentence, file=sys.stderr)


def _finish_sweep(result: str | None) -> bool:
    """Prints the table of a sweep, if there was one; whether any of its runs failed."""
    runs = [judged(ended, result) for ended in sweep.ended]
    if not runs:
        return False
    print_results(runs, job_folders.differences([ended.overrides for ended in runs]))
    failed = sum(ended.failure is not None for ended in runs)
    if failed:
        print(f"{failed} of {len(runs)} runs failed.", file=sys.stderr)
    return failed > 0
