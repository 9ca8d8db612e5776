"""Fixtures that every test may use."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.body.anny import AnnyBody
from hashhuman.body.template import BodyTemplate
from hashhuman.data.subject import Subject
from tests import smpl_files, toy
from tests.interpreter import interpret_kernels

# The machines that run these tests have two cores, and the tensors here are tiny. In the environment it also holds for
# the processes that tests start, and keeps Lightning from choosing a number for the tests that follow.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

if not torch.cuda.is_available():
    interpret_kernels()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` need one."""
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts this process and those that it starts.

    A shell without job control starts background jobs with SIGINT ignored, and children inherit that.
    """
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    signal.signal(signal.SIGINT, handler)


INTERPRETED = pytest.param(
    "cpu", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, not interpreted")
)


@pytest.fixture(params=[INTERPRETED, pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where Triton's kernels run: in its interpreter, and on a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture
def toy_template() -> BodyTemplate:
    """The rest body of 5 joints and 40 vertices."""
    return toy.template()


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete subject folder of the toy, 2 cameras and 6 frames. Shared: do not write into it."""
    return toy.write_subject(tmp_path_factory.mktemp("subjects") / "toy")


@pytest.fixture(scope="session")
def _short_toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_subject(tmp_path_factory.mktemp("subjects") / "short", n_frames=2)


@pytest.fixture
def toy_copy(_short_toy_folder: Path, tmp_path: Path) -> Path:
    """A private subject folder of the toy with 2 cameras and 2 frames, which the test may change."""
    return Path(shutil.copytree(_short_toy_folder, tmp_path / "toy"))


@pytest.fixture
def toy_subject(toy_folder: Path) -> Subject:
    """The shared toy folder, opened."""
    return Subject(toy_folder)


@pytest.fixture(scope="session")
def anny() -> AnnyBody:
    """The free body."""
    pytest.importorskip("anny")  # a machine that runs the GPU tests alone need not have it
    return AnnyBody()


@pytest.fixture(scope="session")
def anny_model(anny: AnnyBody) -> dict[str, np.ndarray]:
    """The free body as a model of SMPL's format."""
    return smpl_files.model(anny.template(anny.shape_mean))


@pytest.fixture(scope="session")
def anny_tree(anny: AnnyBody, anny_model: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the free body's files under SMPL's names. Shared: do not write into it."""
    return smpl_files.write_tree(tmp_path_factory.mktemp("models") / "smpl", anny.template(anny.shape_mean), anny_model)
