"""Packages, weights, memory and disk: on both sides of what is enough."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hashhuman.body.anny import AnnyBody
from hashhuman.io.assets import Asset, Package
from preprocess.doctor import installed, machine
from preprocess.doctor.machine import GB, MachineChecks
from preprocess.doctor.table import print_table
from preprocess.doctor.weights import check_asset, check_supplied, weights
from preprocess.findings import Finding, Verdict, at_least, at_most, worst
from preprocess.quality import MeasuredQuality
from tests.preprocess.doctor.limits import checks

# sha256 of b"weights"
ASSET = Asset(
    Package("pypi", "some-package", "1.0", "MIT"), ("some/net.tflite",),
    "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
)  # fmt: skip


@pytest.fixture
def checked() -> MachineChecks:
    return checks("machine")


def test_limits():
    assert [at_most(x, [1, 2]) for x in (1, 1.5, 2, 2.1)] == [Verdict.OK, Verdict.WARN, Verdict.WARN, Verdict.BAD]
    assert [at_least(x, [2, 1]) for x in (2, 1.5, 1, 0.9)] == [Verdict.OK, Verdict.WARN, Verdict.WARN, Verdict.BAD]
    assert at_least(0.0, [0.5, None]) is Verdict.WARN and at_most(9.0, [None, 10]) is Verdict.OK
    assert worst([]) is Verdict.OK


@pytest.mark.parametrize(("free", "verdict"), [(4.1, Verdict.OK), (3.9, Verdict.WARN), (1.9, Verdict.BAD)])
def test_memory(checked: MachineChecks, free: float, verdict: Verdict):
    assert checked.cpu(free * GB).verdict is verdict
    assert 0 < machine.free_memory() < 1e15


@pytest.mark.parametrize(("needed", "verdict"), [(10, Verdict.OK), (50, Verdict.WARN), (200, Verdict.BAD)])
def test_disk(checked: MachineChecks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, needed: int, verdict: Verdict):
    usage = type("Usage", (), {"free": 100 * GB})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: usage)
    pixels = int(needed * GB / checked.bytes_a_pixel)
    finding = checked.space(tmp_path / "not/yet/there", pixels)
    assert finding.verdict is verdict and f"about {needed}.0 GB" in finding.value


@pytest.mark.parametrize(("free", "verdict"), [(7, Verdict.OK), (5, Verdict.WARN), (1, Verdict.BAD)])
def test_gpu(checked: MachineChecks, monkeypatch: pytest.MonkeyPatch, free: int, verdict: Verdict):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(machine.torch.cuda, "mem_get_info", lambda: (free * 10**9, 80 * 10**9))
    monkeypatch.setattr(machine.torch.cuda, "get_device_name", lambda: "Some GPU")
    finding = checked.gpu()
    assert finding.verdict is verdict and finding.value == f"Some GPU, {free}.0 of 80.0 GB free"


def test_no_gpu(checked: MachineChecks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine.torch.cuda, "is_available", lambda: False)
    assert checked.gpu().verdict is Verdict.OK


@pytest.mark.parametrize(("driver", "verdict"), [(True, Verdict.WARN), (False, Verdict.OK)])
def test_a_gpu_that_torch_does_not_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool, verdict: Verdict):
    monkeypatch.setattr(installed.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(installed, "DRIVER", tmp_path if driver else tmp_path / "none")
    assert installed.check_torch().verdict is verdict


def test_requirements():
    versions = {"numpy": "2.1.0", "anny": "0.6.1", "av": None}
    assert installed.unmet(["numpy>=2.0"], versions) == []
    assert installed.unmet(["numpy>=2.2", "anny==0.6.2", "av>=14"], versions) == ["numpy>=2.2", "anny==0.6.2", "av>=14"]


def test_an_extra_that_is_incomplete():
    finding = installed.check_extra("preprocess", ["numpy>=2.0", "no-such-package>=1"], Verdict.BAD)
    assert finding.verdict is Verdict.BAD
    assert "no no-such-package" in finding.value and "pip install -e '.[preprocess]'" in finding.advice
    assert installed.check_extra("core", ["numpy>=2.0"], Verdict.BAD).verdict is Verdict.OK


def test_an_extra_that_nobody_needs_says_how_to_get_it():
    finding = installed.check_extra("wandb", ["no-such-package>=1"], Verdict.OK)
    assert finding.verdict is Verdict.OK
    assert finding.value == "no no-such-package: pip install -e '.[wandb]' if you want it"
    assert installed.check_extra("wandb", ["numpy>=2.0"], Verdict.OK).value.startswith("numpy 2.")


def test_what_is_installed_here():
    names = [finding.name for finding in installed.installed()]
    assert names == ["core", "preprocess", "datasets", "export", "slurm", "view", "wandb", "PyTorch"]


def test_weights(tmp_path: Path):
    path = tmp_path / ASSET.filename
    missing = check_asset(ASSET, tmp_path)
    assert missing.verdict is Verdict.OK and missing.value == "will be fetched with some-package 1.0 from pypi"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    whole = check_asset(ASSET, tmp_path)
    assert whole.verdict is Verdict.OK and "checked" in whole.value
    path.write_bytes(b"weight")
    damaged = check_asset(ASSET, tmp_path)
    assert damaged.verdict is Verdict.BAD and "delete" in damaged.advice


def test_what_only_the_user_can_supply(tmp_path: Path):
    class Needy(MeasuredQuality):
        def assets(self) -> list[Asset]:
            return [ASSET]

        def missing(self) -> str | None:
            return "Copy the checkpoint to models/here."

    assert check_supplied(Needy()).advice == "Copy the checkpoint to models/here."
    findings = weights([Needy(), MeasuredQuality()], AnnyBody, tmp_path)
    assert [finding.name for finding in findings] == ["net.tflite", "alexnet.ckpt", "vgg16.ckpt", "quality"]
    assert worst(findings) is Verdict.BAD


def test_the_table_has_advice_where_something_is_wrong():
    findings = [
        Finding("clip", "pictures", "100", Verdict.OK, "film longer"),
        Finding("clip", "rate", "3 a second", Verdict.BAD, "film at a higher rate"),
        Finding("fit", "jitter", "9 mm", Verdict.WARN, "film more [slowly]"),
    ]
    said = io.StringIO()
    print_table(findings, Console(file=said, width=120))
    lines = [line.split() for line in said.getvalue().splitlines() if line.strip()]
    assert lines[0] == ["clip"] and lines[3] == ["fit"]
    assert lines[1] == ["ok", "pictures", "100"]
    assert lines[2] == ["bad", "rate", "3", "a", "second", "film", "at", "a", "higher", "rate"]
    assert lines[4] == ["warn", "jitter", "9", "mm", "film", "more", "[slowly]"]
