"""The toy as a subject of the viewer."""

from pathlib import Path

import pytest
import torch

from hashhuman.export.exporter import Exports
from hashhuman.view.mesh import BodyMesh, ViewMesh
from hashhuman.view.rendering import Progressive
from hashhuman.view.subject import Subject
from tests.hashhuman.export.conftest import rigging
from tests.hashhuman.export.solid import SolidAvatar, SolidData, template
from tests.hashhuman.fakes import FakeAvatar


class PartedAvatar(SolidAvatar):
    """The toy with a part for each box, as the avatar's parts are told."""

    def __init__(self) -> None:
        super().__init__()
        self.template, self.part_points = template(), list(torch.arange(40).split(8))

    _render = FakeAvatar._render  # the toy's own pictures, which are quick


def progressive(**changes: object) -> Progressive:
    """Small pictures."""
    options = {"first_s": 0.05, "piece_s": 0.05, "growth": 2.0, "least": 16, "most": 96, "margin": 0.05}
    return Progressive(**{**options, "background": 1.0, **changes})  # type: ignore[arg-type]


@pytest.fixture
def subject(toy_folder: Path, tmp_path: Path) -> Subject:
    """The toy, whose videos go to a folder of the test."""
    return Subject.of(PartedAvatar(), SolidData(toy_folder), "toy", 10.0, tmp_path / "view")


@pytest.fixture
def mesh(subject: Subject) -> ViewMesh:
    """Its body."""
    return BodyMesh()(subject.avatar, subject.datamodule)


@pytest.fixture(scope="session")
def exports(toy_folder: Path) -> Exports:
    """What the toy offers to the formats."""
    return Exports(SolidAvatar(0.015), SolidData(toy_folder), rigging(), fps=25.0)
