"""Empty folders of a failed command are removed, and other folders are kept."""

import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from hashhuman.cli import hydra_main
from hashhuman.cli.run_log import RUN_LOG
from hashhuman.errors import UserError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a job with the project's callback, in an empty folder, and returns whether it succeeded."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/root.yaml").write_text(
        "defaults:\n  - _self_\n  - override hydra/job_logging: none\n  - override hydra/hydra_logging: none\n"
        "a: 1\nhydra:\n  output_subdir: null\n  run: {dir: outputs/x/now}\n"
        "  sweep: {dir: multirun/now, subdir: '${hydra.job.num}'}\n"
        "  callbacks: {empty_folders: {_target_: hashhuman.cli.empty_folders.EmptyFolders}}\n"
    )
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # restored afterwards
    monkeypatch.chdir(tmp_path)

    def start(job, *arguments: str) -> bool:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        try:
            hydra_main.run(job, str(tmp_path / "conf"), "root")
        except SystemExit:
            return False
        return True

    return start


def fail(config: DictConfig) -> None:
    raise UserError("no.")


def write(config: DictConfig) -> None:
    (Path(HydraConfig.get().runtime.output_dir) / "something").touch()


def write_and_fail(config: DictConfig) -> None:
    write(config)
    fail(config)


@pytest.mark.parametrize("arguments", [[], ["-m", "a=1,2"], ["-m", "a=1", "b=2"]])
def test_a_failed_command_leaves_no_folder(run, tmp_path: Path, arguments: list[str]):
    """Only a sweep leaves something: its settings, and the logs of its jobs."""
    assert not run(fail, *arguments)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file() and "conf" not in path.parts}
    assert left == ({RUN_LOG, "multirun.yaml"} if arguments == ["-m", "a=1,2"] else set())
    assert not [path for path in tmp_path.rglob("*") if path.is_dir() and not list(path.iterdir())]


def test_what_was_written_stays(run, tmp_path: Path):
    assert not run(write_and_fail)
    assert (tmp_path / "outputs/x/now/something").exists()
    assert not run(fail)  # the same folder, which is not empty
    assert not run(fail, "hydra.run.dir=outputs/x/other")
    assert [path.name for path in (tmp_path / "outputs/x").iterdir()] == ["now"]
    assert run(write, "-m", "a=1,2")
    assert sorted(path.name for path in (tmp_path / "multirun/now").iterdir()) == ["0", "1", "multirun.yaml"]


def test_empty_folders_of_the_user_stay(run, tmp_path: Path):
    (tmp_path / "outputs/x").mkdir(parents=True)
    (tmp_path / "multirun/now/mine").mkdir(parents=True)
    assert not run(fail) and not run(fail, "-m", "a=1,2")
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["x"]
    assert not list((tmp_path / "outputs/x").iterdir())
    assert sorted(path.name for path in (tmp_path / "multirun/now").iterdir()) == ["0", "1", "mine", "multirun.yaml"]
    assert [path.name for path in (tmp_path / "multirun/now/0").iterdir()] == [RUN_LOG]


def test_a_failed_job_leaves_its_log_alone(run, tmp_path: Path):
    def job(config: DictConfig) -> None:
        (write if config.a == 1 else fail)(config)

    assert not run(job, "-m", "a=1,2")
    assert [path.name for path in (tmp_path / "multirun/now/1").iterdir()] == [RUN_LOG]
