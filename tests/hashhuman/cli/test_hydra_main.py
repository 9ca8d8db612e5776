"""The command line: paths that Hydra would misread, and errors as one sentence."""

import errno
import importlib
import os
import signal
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main
from hashhuman.errors import UserError

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["a b.mp4", "a[1].mp4", "a=b.mp4", "a,b.mp4", "it's (1).mp4", "{x}.mp4", r"a\b.mp4"])
def test_paths_with_special_characters_reach_the_config(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    [argument] = hydra_main.quote_paths([f"video={tmp_path / name}"])
    override = OverridesParser.create().parse_override(argument)
    assert not override.is_sweep_override()
    assert override.value() == str(tmp_path / name)


def test_values_that_hydra_can_read_stay() -> None:
    arguments = [
        "-m",
        "video=a,b",
        "data=monocular",
        "encoder.sizes=[1,2]",
        "a=${b}",
        "+c=1",
        "~d",
        "seed=7",
        "e='f(g)'",
    ]
    assert hydra_main.quote_paths(arguments) == arguments


def test_names_that_look_like_numbers() -> None:
    assert hydra_main.quote_paths(["video=42", "seed=42"]) == ["video='42'", "seed=42"]


def test_an_unreadable_value_is_explained_with_its_quoted_form() -> None:
    with pytest.raises(UserError) as raised:
        hydra_main.quote_paths(["video=there is [none] (here)"])
    assert "\"video='there is [none] (here)'\"" in str(raised.value)
    assert hydra_main.quote_paths(["video='there is [none] (here)'"])  # the advice works


def fail(error: Exception):
    def job(config: DictConfig) -> None:
        raise error

    return job


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    (tmp_path / "root.yaml").write_text(
        "defaults:\n  - _self_\n  - override hydra/job_logging: none\n  - override hydra/hydra_logging: none\n"
        "a: 1\nneeded: ???\nhydra: {output_subdir: null, run: {dir: .}, sweep: {dir: ., subdir: .}}\n"
    )
    return tmp_path


def run(job, config_folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, result: str | None = None) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # restored afterwards
    monkeypatch.chdir(config_folder)
    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    hydra_main.run(job, str(config_folder), "root", path_option="path", result=result)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (UserError("no such thing."), "no such thing."),
        (ModuleNotFoundError("No module", name="anny"), "the Python package anny is missing"),
        (OSError(errno.ENOSPC, "No space left on device", "x.ckpt"), "the disk is full: x.ckpt"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out cannot be used: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "out"), "out cannot be used: Read-only file system"),
        (
            ImportError("Error loading 'my_lab.losses.Smoth':\nAttributeError(\"no 'Smoth'\")\nAre you sure?"),
            "my_lab.losses.Smoth cannot be imported (AttributeError(\"no 'Smoth'\")): correct the _target_, or add the",
        ),
        (ImportError("libx.so: no such file", name="igl"), "igl is installed but does not import (ImportError: libx"),
    ],
)
def test_errors_are_one_sentence_and_status_2(
    error: Exception, sentence: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    with pytest.raises(SystemExit) as left:
        run(fail(error), config_folder, monkeypatch)
    assert left.value.code == 2
    said = capfd.readouterr().err
    assert sentence in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["b=1"], "b is not an option."),
        (["neded=1"], "neded is not an option; did you mean needed?"),
        (["nowhere.mp4"], "nowhere.mp4 does not exist"),
        (["hydra.run.dir=/dev/null/x"], "/dev/null/x cannot be used: Not a directory"),
        (["hydra.run.dir=/proc/x/y"], "/proc/x cannot be made (No such file or directory): choose another folder"),
        (["-m", "hydra.sweep.dir=/proc/x/y", "a=1,2"], "/proc/x cannot be made (No such file or directory)"),
        (["+max_steps=-5"], "max_steps=-5 must be a whole number of at least 1"),
        (["b=(1"], "b=(1 cannot be read"),
        (["b='1"], "b='1 cannot be read"),
        (["hydra/launcher=null"], "a group of options is chosen by the name of one of its files"),
        (["hydra.run.dir=" + 300 * "x"], "cannot be used: File name too long"),
        (["--config-name", "absent"], "Cannot find primary config 'absent'"),
    ],
)
def test_wrong_command_lines_are_one_sentence(
    arguments: list[str],
    sentence: str,
    config_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    with pytest.raises(SystemExit) as left:
        run(lambda config: None, config_folder, monkeypatch, *arguments)
    assert left.value.code == 2
    said = capfd.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_a_missing_value_is_one_sentence(config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    with pytest.raises(SystemExit):
        run(lambda config: config.needed, config_folder, monkeypatch)
    assert "add needed=... to the command line" in capfd.readouterr().err


def test_faults_of_the_program_are_raised(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ZeroDivisionError("x"), ModuleNotFoundError("gone", name="hashhuman.gone"), TypeError("x")):
        with pytest.raises(type(error)):
            run(fail(error), config_folder, monkeypatch)


def test_multirun_goes_on_after_a_failure(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def job(config: DictConfig) -> None:
        seen.append(config.a)
        if config.a == 1:
            raise UserError("one is bad")

    with pytest.raises(SystemExit):
        run(job, config_folder, monkeypatch, "-m", "a=1,2,3")
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a=1,2", "+max_steps=1,x"], "max_steps=x is not a number: it must be a whole number of at least 1"),
        (["+max_steps=choice(3,2,-1)", "a=1"], "max_steps=-1 must be a whole number of at least 1"),
        (["+kind=one,tow", "a=1,2"], "Could not find 'kind/tow'"),
        (["a=1,2", "neded=1,2"], "neded is not an option; did you mean needed?"),
    ],
)
def test_every_value_of_a_sweep_is_checked_before_the_first_job(
    arguments: list[str], sentence: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    (config_folder / "kind").mkdir()
    for name in ("one", "two"):
        (config_folder / f"kind/{name}.yaml").write_text(f"value: {name}\n")
    seen = []
    with pytest.raises(SystemExit) as left:
        run(lambda config: seen.append(config.a), config_folder, monkeypatch, "-m", *arguments)
    assert left.value.code == 2 and not seen
    said = capfd.readouterr()
    assert sentence in said.err and said.err.count("\n") == 1 and "runs of the sweep" not in said.out
    assert {path.name for path in config_folder.iterdir()} == {"root.yaml", "kind"}


def test_the_values_of_a_sweep_that_are_fine_all_run(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    job = lambda config: seen.append((config.a, config.max_steps))
    run(job, config_folder, monkeypatch, "-m", "a=range(1,4)", "+max_steps=1,2")
    assert seen == [(a, steps) for a in (1, 2, 3) for steps in (1, 2)]


def test_a_missing_value_behind_an_interpolation_is_named(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    with pytest.raises(SystemExit):
        run(lambda config: print(config.b), config_folder, monkeypatch, "+b=${needed}")
    assert "needed is missing: add needed=... to the command line" in capfd.readouterr().err


def test_a_sweep_ends_with_one_table(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture, tmp_path: Path
) -> None:
    """With the default launcher: a failure, a run that leaves no result and, in the end, a fault of the program."""

    def job(config: DictConfig) -> None:
        if config.a == 1:
            raise UserError("one is bad.")
        if config.a == 2:
            (Path(HydraConfig.get().runtime.output_dir) / "result.json").touch()
        if config.a == 4:
            raise ZeroDivisionError("a fault")

    options = ["hydra.sweep.dir=sweep", "hydra.sweep.subdir='${job_folder:${hydra.overrides.task},${hydra.job.num}}'"]
    with pytest.raises(SystemExit) as left:
        run(job, config_folder, monkeypatch, "-m", "a=1,2,3", "needed=7", *options, result="*.json")
    assert left.value.code == 2
    printed = capfd.readouterr()
    assert printed.out.count("runs of the sweep") == 1 and "needed=7" not in printed.out
    assert "failed: one is bad." in printed.out and "without its result" in printed.out and "done" in printed.out
    assert printed.err.count("one is bad.") == 1 and "2 of 3 runs failed." in printed.err
    assert {path.name for path in (config_folder / "sweep").iterdir()} == {"a=1", "a=2", "a=3", "multirun.yaml"}
    with pytest.raises(SystemExit) as left:  # a fault of the program does not end the sweep either
        run(job, config_folder, monkeypatch, "-m", "a=4,2", *options)
    printed = capfd.readouterr()
    assert left.value.code == 2 and "1 of 2 runs failed." in printed.err
    assert printed.out.count("runs of the sweep") == 1 and "failed: ZeroDivisionError: a fault" in printed.out
    log = (config_folder / "sweep/a=4/run.log").read_text()
    assert log.startswith("Traceback") and log.rstrip().endswith("ZeroDivisionError: a fault") and log in printed.err


def test_an_interrupted_job_has_failed(config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    def job(config: DictConfig) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job, config_folder, monkeypatch, "-m", "a=1,2")
    assert "failed: it was interrupted." in capfd.readouterr().out


def test_a_signal_is_no_fault_whatever_cleaning_up_raises(
    config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture, interruptible: None
) -> None:
    def job(config: DictConfig) -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        finally:
            raise UserError("half made")

    with pytest.raises(SystemExit) as stopped:
        run(job, config_folder, monkeypatch)
    assert stopped.value.code == 130
    assert capfd.readouterr().err == "Stopped by SIGINT: the same command goes on with what is not finished.\n"


def test_a_path_alone_gets_the_name_of_its_option(config_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config_folder / "a, b.mp4").touch()
    seen = []
    with (config_folder / "root.yaml").open("a") as file:
        file.write("path: null\n")
    run(lambda config: seen.append(config.path), config_folder, monkeypatch, "a, b.mp4")
    assert seen == ["a, b.mp4"]


@pytest.mark.parametrize("error", ["ImportError('libx.so is missing')", "OSError('built for another CUDA')"])
def test_a_package_that_does_not_import(
    error: str, config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    """Whatever it raises, in a job and in a function that a config calls."""
    (config_folder / "broken_package.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(str(config_folder))

    def job(config: DictConfig) -> None:
        importlib.import_module("broken_package")

    OmegaConf.register_new_resolver("broken", lambda: job(OmegaConf.create({})), replace=True)
    for failing, arguments in ((job, []), (lambda config: print(config.a), ["a=${broken:}"])):
        with pytest.raises(SystemExit) as left:
            run(failing, config_folder, monkeypatch, *arguments)
        said = capfd.readouterr().err
        assert left.value.code == 2 and said.count("\n") == 1
        assert "the Python package broken_package is installed but does not import" in said
        assert error.partition("'")[2].rstrip("')") in said


def test_a_sentence_from_within_a_config(config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    def refuse() -> None:
        raise UserError("no such thing.")

    OmegaConf.register_new_resolver("refuse", refuse, replace=True)
    with pytest.raises(SystemExit):
        run(lambda config: print(config.a), config_folder, monkeypatch, "a=${refuse:}")
    assert capfd.readouterr().err == "no such thing.\n"


def test_what_another_library_refuses(config_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> None:
    """In one sentence; what our own code raises unexpectedly keeps its traceback."""

    def job(config: DictConfig) -> None:
        instantiate(config.thing)

    made = "+thing={_target_:fractions.Fraction,numerator:half}"
    with pytest.raises(SystemExit):
        run(job, config_folder, monkeypatch, made)
    assert "thing cannot be made: \"Invalid literal for Fraction: 'half'\"" in capfd.readouterr().err
    with pytest.raises(InstantiationException):
        run(job, config_folder, monkeypatch, "+thing={_target_:hashhuman.io.files.load_json,path:3.5}")
