"""Runs the entry points under Hydra: checks the config, prints errors as one sentence, and ends sweeps with a table."""

import functools
import inspect
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hashhuman.checks.ranges import check_ranges
from hashhuman.cli import arguments, broken_pipe, empty_folders, job_folders, lean_imports, light_torchmetrics, sweep
from hashhuman.cli.arguments import quote_paths as quote_paths
from hashhuman.cli.explain import explain as explain
from hashhuman.cli.help import help_text
from hashhuman.cli.results import FinishedRun, print_results, with_result_checked
from hashhuman.cli.run_log import RUN_LOG, copied_to
from hashhuman.cli.suggest import suggestion
from hashhuman.cli.sweep_values import check_sweep
from hashhuman.errors import one_sentence
from hashhuman.io import interruption
from hashhuman.io.packages import cause_of


def run(
    job: Callable[[DictConfig], None],
    config_path: str,
    config_name: str,
    path_option: str | None = None,
    several_paths: bool = False,
    result: str | None = None,
) -> None:
    """Runs a job under Hydra, once or for every combination of a multirun.

    An error that the user can correct is printed as one sentence, with exit status 2. The other jobs of a multirun
    continue, and a table at the end shows the result of each. Output folders that stay empty are removed. SIGTERM and
    SIGINT end the command and its sweep in order, with one sentence and exit status 143 and 130. If nobody reads the
    output any more, the command ends without a word and with status 141 (`broken_pipe.ends_quietly`).

    Args:
        job: the program, a function of the composed config.
        config_path: the config folder, relative to the job's file, so that programs run from any current folder.
        config_name: the name of the root config.
        path_option: the option to which a path without a name belongs; None: there is none.
        several_paths: whether this option is a list, to which all such paths belong.
        result: pattern of a file below the run folder that every successful run of a sweep leaves; None: there is none.
    """
    folder = (Path(inspect.getfile(job)).resolve().parent / config_path).resolve()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise errors in the command line instead of printing them
    # Read when torch is imported. Waiting threads that spin make a busy CPU many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    lean_imports.postpone_scipy_signal()
    lean_imports.postpone_compiler()
    light_torchmetrics.make_light()
    _reset(folder)
    command = _Command(job, folder, config_name)
    with broken_pipe.ends_quietly():
        _run(command, path_option, several_paths, result)


def _run(command: "_Command", path_option: str | None, several_paths: bool, result: str | None) -> None:
    status = 2
    try:
        with interruption.watched():
            sys.argv[1:] = arguments.prepared(sys.argv[1:], path_option, several_paths)
            check_sweep(command.folder, command.config_name, sys.argv[1:])
            main = hydra.main(version_base="1.3", config_path=str(command.folder), config_name=command.config_name)
            main(command.guarded)()
    except interruption.Interrupted as stopped:
        command.failed, status = True, stopped.status
        print(stopped, file=sys.stderr, flush=True)
    except Exception as error:
        command.failed = True
        command.report(error)
    finally:
        empty_folders.remove()
        if _finish_sweep(result):
            command.failed = True
    if command.failed:
        sys.exit(status)


def _reset(config_folder: Path) -> None:
    """Clears the state of an earlier command in this process, and registers the functions that configs call."""
    empty_folders.forget()
    job_folders.forget()
    sweep.finished_runs.clear()
    OmegaConf.register_new_resolver("job_folder", job_folders.job_folder, replace=True)
    OmegaConf.register_new_resolver("help_text", functools.partial(help_text, config_folder), replace=True)


class _Command:
    """A job that reports its errors itself, so that the other jobs of a sweep continue."""

    def __init__(self, job: Callable[[DictConfig], None], folder: Path, config_name: str) -> None:
        self.job, self.folder, self.config_name = job, folder, config_name
        self.failed = False
        self.guarded = functools.wraps(job)(lambda config: self._guarded(config))

    def _guarded(self, config: DictConfig) -> None:
        context = HydraConfig.get()
        if context.mode != RunMode.MULTIRUN:
            self._run(config)
            return
        folder, started, failure = Path(context.runtime.output_dir), time.time(), "it was interrupted."
        log = folder / RUN_LOG
        try:
            with copied_to(log):
                failure = self._run(config, one_of_many=True)
        finally:
            seconds, shown = time.time() - started, None if failure is None else log
            run = FinishedRun(list(context.overrides.task), folder, started, seconds, failure, log=shown)
            sweep.finished_runs.append(run)

    def _run(self, config: DictConfig, one_of_many: bool = False) -> str | None:
        """Runs the job. Returns why it failed; None: it did not."""
        try:
            check_ranges(config)
            self.job(config)
            interruption.check()
        except Exception as error:
            interruption.raise_again()
            self.failed = True
            self.report(error, one_of_many)
            return explain(error) or cause_of(error)
        return None

    def report(self, error: Exception, one_of_many: bool = False) -> None:
        """Prints an error as one sentence. A fault of the program is raised; `one_of_many`: printed as Python does."""
        sentence = explain(error)
        if sentence is None and one_of_many:
            print("".join(traceback.format_exception(error)), end="", file=sys.stderr)
            return
        if sentence is None:
            raise error
        correction = suggestion(error, self.folder, self.config_name, sys.argv[1:])
        said = f"{sentence.rstrip('.')}; did you mean {correction}?" if correction else sentence
        print(one_sentence(said), file=sys.stderr)


def _finish_sweep(result: str | None) -> bool:
    """Prints the table of a sweep, if there was one. Returns whether any of its runs failed."""
    runs = [with_result_checked(finished, result) for finished in sweep.finished_runs]
    if not runs:
        return False
    print_results(runs, job_folders.differences([finished.overrides for finished in runs]))
    failed = sum(finished.failure is not None for finished in runs)
    if failed:
        print(f"{failed} of {len(runs)} runs failed.", file=sys.stderr)
    return failed > 0
