"""The toy body as a model in SMPL's format."""

from pathlib import Path

import numpy as np
import pytest

from hashhuman.body.template import BodyTemplate
from tests import smpl_files, toy


@pytest.fixture(scope="session")
def toy_model() -> dict[str, np.ndarray]:
    """The arrays of a model: 5 joints, 40 vertices, 3 shape parameters."""
    return smpl_files.model(toy.template())


@pytest.fixture
def tree(tmp_path: Path, toy_template: BodyTemplate, toy_model: dict[str, np.ndarray]) -> Path:
    """A folder with the toy's files under SMPL's names, which the test may change."""
    return smpl_files.write_tree(tmp_path / "smpl", toy_template, toy_model)
