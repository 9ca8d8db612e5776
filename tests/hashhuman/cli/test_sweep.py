"""Runs of a sweep: fake jobs that wait, fail, or check whether others run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hashhuman.cli import sweep, sweep_values
from hashhuman.cli.sweep import Job, JobResult, devices_of, run_jobs
from tests.processes import PATIENCE
from train import register_resolvers

CONF = Path(__file__).parents[3] / "conf"
WAIT = (  # until a file exists
    f"for _ in range({100 * PATIENCE:.0f}):\n    if os.path.exists({{}}): break\n    time.sleep(0.01)\n"
    "else: sys.exit(9)\n"
)


def job(folder: Path, name: str, script: str) -> Job:
    return Job(name, [sys.executable, "-S", "-c", f"import os, sys, time\n{script}"], folder / name / "run.log")


def test_other_jobs_continue_after_a_failure(tmp_path, capfd):
    scripts = ["print('fine')", "print('almost'); print('it broke', file=sys.stderr); sys.exit(3)", "print('fine too')"]
    results = run_jobs([job(tmp_path, str(i), script) for i, script in enumerate(scripts)], [None])
    assert [(result.job.name, result.status) for result in results] == [("0", 0), ("1", 3), ("2", 0)]
    assert [result.job.log.read_text().split("\n")[0] for result in results] == ["fine", "almost", "fine too"]
    assert results[1].last_line == "it broke"
    said = capfd.readouterr().out
    assert "2/3: FAILED" in said and "3/3: done" in said and "fine" not in said  # what runs print is in their logs


def test_one_job_at_a_time_on_each_device(tmp_path):
    """A job fails if another is on its device; it waits until its partner has begun, so both devices are used."""
    script = (
        "os.chdir({folder!r})\n"
        "busy = 'device ' + os.environ['CUDA_VISIBLE_DEVICES']\n"
        "os.close(os.open(busy, os.O_CREAT | os.O_EXCL))\n"
        "open('job {me}', 'w').close()\n" + WAIT.format("'job {partner}'") + "print(busy)\n"
        "os.remove(busy)"
    )
    partners = [1, 0, 3, 2, 4]
    jobs = [job(tmp_path, str(i), script.format(folder=str(tmp_path), me=i, partner=j)) for i, j in enumerate(partners)]
    results = run_jobs(jobs, ["3", "7"])
    assert [result.job for result in results] == jobs  # in their order, whichever ended first
    assert [result.status for result in results] == [0] * 5
    assert [result.last_line for result in results] == [f"device {result.device}" for result in results]
    devices = [result.device for result in results]
    assert set(devices[:2]) == set(devices[2:4]) == {"3", "7"}


def test_devices_work_at_once(tmp_path):
    """Each of two jobs waits until the other has begun."""
    script = "open('{}', 'w')\n" + WAIT.format("'{}'")
    places = [tmp_path / "a", tmp_path / "b"]
    jobs = [job(tmp_path, f"job {p.name}", script.format(p, q)) for p, q in (places, places[::-1])]
    assert [result.status for result in run_jobs(jobs, [None, None])] == [0, 0]


def test_jobs_share_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep.os, "cpu_count", lambda: 8)
    script = "print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('CUDA_VISIBLE_DEVICES'))"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for given, expected in ((None, "4"), ("3", "3")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        (result,) = run_jobs([job(tmp_path, "one", script)], [None, None])
        assert result.last_line == f"{expected} None"


def test_an_interrupt_ends_running_jobs_and_starts_no_more(tmp_path, interruptible):
    begun = f"open({str(tmp_path / 'begun')!r}, 'a').write('x')"
    lasted = f"open({str(tmp_path / 'lasted')!r}, 'w')"
    stop = f"{begun}; import signal; os.kill({os.getpid()}, signal.SIGINT); time.sleep({PATIENCE}); {lasted}"
    ended: list[JobResult] = []
    with pytest.raises(KeyboardInterrupt):
        run_jobs([job(tmp_path, str(i), stop) for i in range(3)], [None], ended.append)
    assert [(result.job.name, result.status) for result in ended] == [("0", -signal.SIGTERM)]
    assert (tmp_path / "begun").read_text() == "x" and not (tmp_path / "lasted").exists()


@pytest.mark.parametrize(
    ("visible", "gpus", "at_once", "expected"),
    [
        (None, 2, None, ["0", "1"]),
        ("5,2", 2, None, ["5", "2"]),  # the names that this process was given
        (None, 2, 3, ["0", "1", "0"]),
        (None, 2, 1, ["0"]),
        (None, 0, None, [None]),
        ("", 0, 2, [None, None]),
    ],
)
def test_devices(monkeypatch, visible: str | None, gpus: int, at_once: int | None, expected: list):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices_of(at_once) == expected


def test_the_reason_of_a_failure_is_the_last_line(tmp_path):
    def result(status: int, text: str) -> JobResult:
        (tmp_path / "log").write_text(text)
        return JobResult(Job("a=1", [], tmp_path / "log"), "1", status, 5.0, 12.3)

    assert result(0, "all is well").failure is None
    assert result(2, "one\nThere is no [subject] folder x.\n\n").failure == "There is no [subject] folder x."
    assert result(9, "").failure == "its process ended with status 9 and printed nothing."
    killed = "SIGKILL ended its process, which the system sends when memory runs out"
    assert result(-9, "").failure == killed
    assert result(-9, "keypoints  6 of 6\n").failure == f"{killed}; its last line: keypoints  6 of 6"
    assert result(-15, "").failure == "SIGTERM ended its process"
    run = result(2, "it broke").finished_run(["a=1"], tmp_path)
    assert (run.failure, run.device, run.seconds, run.log) == ("it broke", "1", 12.3, tmp_path / "log")


SCRIPT = """
import os
from pathlib import Path
from hashhuman.cli import hydra_main
from hashhuman.errors import UserError

def main(config):
    print("value", repr(config.a), config.b, os.getcwd())
    if config.a == "bad one":
        raise UserError("this one is bad.")

hydra_main.run(main, "conf", "root", result=os.environ.get("RESULT"))
"""


@pytest.fixture
def program(tmp_path) -> Path:
    """A small program with the launcher of this project."""
    (tmp_path / "conf/hydra/launcher").mkdir(parents=True)
    (tmp_path / "conf/hydra/launcher/gpus.yaml").write_text((CONF / "hydra/launcher/gpus.yaml").read_text())
    (tmp_path / "conf/root.yaml").write_text(
        "defaults:\n  - _self_\n  - override hydra/job_logging: none\n  - override hydra/hydra_logging: none\n"
        "a: 1\nb: 2\nhydra: {output_subdir: null, run: {dir: out}, "
        "sweep: {dir: sweep, subdir: 'run ${hydra.job.num}'}}\n"
    )
    (tmp_path / "program.py").write_text(SCRIPT)
    return tmp_path / "program.py"


def launched(program: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, program, "-m", "hydra/launcher=gpus", *arguments]
    return subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False)


def test_a_sweep_from_the_command_line(program):
    done = launched(program, "hydra.launcher.n_jobs=2", "a=3,bad one,'4, 5'", "b=7")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "1 of 3 runs failed" in done.stderr and "failed: this one is bad." in done.stdout
    assert done.stdout.count("runs of the sweep") == 1
    logs = [(program.parent / f"sweep/run {i}/run.log").read_text().splitlines() for i in range(3)]
    assert [log[0] for log in logs] == [f"value {value!r} 7 {program.parent}" for value in (3, "bad one", "4, 5")]
    assert logs[1][1:] == ["this one is bad."]
    assert "a=3" in done.stdout and "b=7" not in done.stdout  # what sets the runs apart


def test_a_sweep_without_failures(program):
    done = launched(program, "a=1", "hydra.sweep.dir=elsewhere")
    assert done.returncode == 0 and "the only one" in done.stdout
    assert (program.parent / "elsewhere/run 0/run.log").read_text().startswith("value 1 2")


def test_a_process_without_a_result_has_failed(program, monkeypatch):
    monkeypatch.setenv("RESULT", "evaluation/metrics.json")
    done = launched(program, "a=1,2")
    assert done.returncode == 2 and "2 of 2 runs failed" in done.stderr and "without its result" in done.stdout


def test_other_numbers_of_jobs_are_refused(program):
    for given in ("0", "x"):
        done = launched(program, "a=1,2", f"hydra.launcher.n_jobs={given}")
        assert done.returncode == 2 and f"n_jobs={given} must be at least 1" in done.stderr


def test_values_of_glob_sweeps_are_checked(monkeypatch):
    checked = []
    monkeypatch.setattr(sweep_values, "check_ranges", lambda config: checked.append(config.trainer.max_steps))
    register_resolvers()
    sweep_values.check_sweep(
        CONF, "train", ["-m", "experiment=glob(*,exclude=[best,instant_nvr,people_snapshot])", "data=synthetic"]
    )
    assert len(checked) == 2  # cpu and fast


def test_values_left_unchecked_are_reported(monkeypatch, capsys):
    checked = []
    monkeypatch.setattr(sweep_values, "check_ranges", lambda config: checked.append(config.seed))
    monkeypatch.setattr(sweep_values, "MOST", 2)
    register_resolvers()
    sweep_values.check_sweep(CONF, "train", ["-m", "seed=0,1,2,3", "data=synthetic"])
    assert checked == [0, 1] and "2 values of this sweep are not checked beforehand" in capsys.readouterr().err
