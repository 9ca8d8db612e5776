"""Sweeps by submitit: on its local cluster, and on a Slurm whose commands are played by a script."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hashhuman.cli import cluster
from hashhuman.cli.sweep import Job, JobResult
from hashhuman.errors import UserError

pytest.importorskip("submitit")

CONF = Path(__file__).parents[3] / "conf"
PREEMPTED = """
import os, signal, sys, time
from pathlib import Path
saved = Path(sys.argv[1]) / "saved"
def save(*_):
    saved.touch()
    print("saved", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
if saved.exists():
    print("went on")
    sys.exit()
os.kill(os.getpid(), signal.SIGUSR2)  # as Slurm does, to all processes of a job
os.kill(os.getppid(), signal.SIGUSR2)
time.sleep(100)
"""
SLURM = """#!{python} -S
# Plays sbatch, srun, scontrol, sacct and scancel. A job runs when it is submitted, and again after it was requeued.
import os, subprocess, sys
from pathlib import Path
name, arguments, home = Path(sys.argv[0]).name, sys.argv[1:], Path({home!r})
if name == "sbatch" and len(arguments) == 1:
    script = Path(arguments[0]).read_text()
    assert "--signal=USR2@7" in script, script
    (home / "job.sh").write_text(script)
    subprocess.Popen([sys.argv[0], "runs", "it"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print("Submitted batch job 7")
elif name == "sbatch":
    (array,) = [line.split("=0-")[1] for line in (home / "job.sh").read_text().splitlines() if "--array=" in line]
    for task in range(int(array.split("%")[0]) + 1):
        ids = {{"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}}
        ids |= {{"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}}
        while True:
            subprocess.run(["bash", home / "job.sh"], env=os.environ | ids, check=False)
            if not (home / "requeued").exists():
                break
            (home / "requeued").unlink()
    (home / "ended").touch()
elif name == "srun":
    command = arguments[next(i for i, text in enumerate(arguments) if text.startswith("/") and "python" in text):]
    with open(home / "srun.log", "a") as log:
        sys.exit(subprocess.run(command, stdout=log, stderr=log).returncode)
elif name == "scontrol":
    assert arguments[0] == "requeue"
    (home / "requeued").touch()
elif name == "sacct":
    print("JobID|State|NodeList")
    for task in range(9):
        print(f"7_{{task}}|{{'COMPLETED' if (home / 'ended').exists() else 'RUNNING'}}|here")
"""
SLURM_OPTIONS = {"time": 60, "signal_delay_s": 7, "partition": None, "cpus_per_task": 1}


@pytest.fixture(params=["local", "slurm"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The cluster; its commands are on the path."""
    monkeypatch.setattr(cluster, "POLL", 0.05)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    if request.param == "slurm":
        for name in ("sbatch", "srun", "scontrol", "sacct", "scancel"):
            (tmp_path / name).write_text(SLURM.format(python=sys.executable, home=str(tmp_path)))
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return request.param


def run(kind: str, folder: Path, *scripts: str) -> list[JobResult]:
    """The results of jobs that run scripts, each with its own folder as argument."""
    folders = [folder / f"run {i}" for i in range(len(scripts))]
    commands = [[sys.executable, "-S", "-c", script, str(place)] for script, place in zip(scripts, folders)]
    jobs = [Job(place.name, command, place / "run.log") for place, command in zip(folders, commands)]
    results: list[JobResult] = []
    cluster.submit_jobs(jobs, folder / ".submitit", kind, SLURM_OPTIONS, 3, results.append)
    return results


def test_a_preempted_job_saves_and_goes_on_and_others_do_not_mind(kind: str, tmp_path: Path) -> None:
    first, second, third = run(kind, tmp_path, "import sys; print('it broke'); sys.exit(2)", PREEMPTED, "print('fine')")
    assert (first.status, first.failure) == (2, "it broke")
    assert (second.status, second.failure) == (0, None)
    assert second.job.log.read_text() == "saved\nwent on\n"
    assert (third.status, third.last_line) == (0, "fine")


def test_without_slurm_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="found no srun"):
        run("slurm", tmp_path, "")
    with pytest.raises(UserError, match="cluster=moon is none of slurm, local"):
        run("moon", tmp_path, "")


PROGRAM = """
import sys
from hashhuman.cli import hydra_main

def main(config):
    print("value", config.a)
    if config.a == 2:
        sys.exit("no")

hydra_main.run(main, "conf", "root")
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "conf/hydra/launcher").mkdir(parents=True)
    for name in ("submitit", "joblib", "gpus"):
        (tmp_path / f"conf/hydra/launcher/{name}.yaml").write_text((CONF / f"hydra/launcher/{name}.yaml").read_text())
    (tmp_path / "conf/root.yaml").write_text(
        "defaults:\n  - _self_\n  - override hydra/job_logging: none\n  - override hydra/hydra_logging: none\n"
        "a: 1\nhydra: {output_subdir: null, run: {dir: out}, sweep: {dir: sweep, subdir: 'run ${hydra.job.num}'}}\n"
    )
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


def launched(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program), "-m", *arguments]
    return subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=False, env=environment)


def test_a_dry_run_prints_what_slurm_would_get(program: Path) -> None:
    options = ["hydra.launcher.slurm.partition=gpu", "hydra.launcher.slurm.time=90"]
    done = launched(program, "hydra/launcher=submitit", "hydra.launcher.dry_run=true", "a=1,'2 3'", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("#SBATCH --partition=gpu") == 2 and "#SBATCH --time=90" in done.stdout
    assert "#SBATCH --signal=USR2@120" in done.stdout and "2 jobs, none submitted" in done.stdout
    commands = [shlex.split(line) for line in done.stdout.splitlines() if line.startswith("srun ")]
    assert "a='2 3'" in commands[1] and f"hydra.run.dir='{program.parent}/sweep/run 1'" in commands[1]
    done = launched(program, "hydra/launcher=submitit", "hydra.launcher.dry_run=true", "+hydra.launcher.slurm.tiem=9")
    assert done.returncode == 2 and "option that sbatch lacks" in done.stderr and "tiem" in done.stderr


@pytest.mark.parametrize("launcher", [["joblib"], ["submitit", "hydra.launcher.cluster=local"]])
def test_every_launcher_ends_with_the_same_table(program: Path, launcher: list[str]) -> None:
    done = launched(program, f"hydra/launcher={launcher[0]}", *launcher[1:], "a=1,2")
    assert done.returncode == 2, done.stdout + done.stderr
    table = done.stdout[done.stdout.index("runs of the sweep") :]
    assert [line.split("│")[1].strip() for line in table.splitlines() if "a=" in line] == ["a=1", "a=2"]
    assert "failed: no" in table and "sweep/run 1/run.log" in table and "1 of 2 runs failed" in done.stderr
    assert (program.parent / "sweep/run 0/run.log").read_text() == "value 1\n"
