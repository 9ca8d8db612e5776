"""The picture of README.md is drawn from a run."""

import numpy as np
import pytest
import torch

from docs import draw_title as draw
from hashhuman.api import LoadedRun
from hashhuman.body.standing import upward
from hashhuman.geometry.skinning import axis_angle_to_matrix
from tests.hashhuman.export.solid import SolidData
from tests.hashhuman.fakes import FakeAvatar


def test_the_panels_show_the_picture_and_the_avatar_in_new_poses(toy_folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draw, "FRAME", 2)
    monkeypatch.setattr(draw, "HEIGHT", 60)
    run = LoadedRun(FakeAvatar(), SolidData(toy_folder), None)
    monkeypatch.setattr(draw, "POSES", ({},))
    few = draw.drawing(run)
    monkeypatch.setattr(draw, "POSES", ({}, {"left_shoulder": (0, 0, 90)}))
    more = draw.drawing(run)
    assert few.shape[0] == more.shape[0] == 60 and more.shape[1] > few.shape[1]
    np.testing.assert_array_equal(more[:, : few.shape[1]], few)
    ground = round(255 * draw.GREY)
    for panel in (few[:, few.shape[1] // 3 :], more[:, few.shape[1] :]):
        share = (np.abs(panel.astype(int) - ground).max(-1) > 3).mean()
        assert 0.05 < share < 0.9  # the person is there, and so is the ground
    axes = axis_angle_to_matrix(draw.standing(run).orient)
    torch.testing.assert_close(
        axes[:, 1], upward(run.data.subject.template(), [run.pose(frame) for frame in run.frames])
    )


def test_the_picture_is_small():
    assert 10_000 < draw.TARGET.stat().st_size < 300_000
