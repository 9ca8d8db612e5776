"""The canary: a wrong shape or dtype raises, so the annotations of src/hashhuman are really checked under the tests."""

import pytest
import torch
from jaxtyping import TypeCheckError

from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import Rays


def test_functions_check_their_arguments():
    with pytest.raises(TypeCheckError):
        skinning.axis_angle_to_matrix(torch.zeros(5, 4))
    with pytest.raises(TypeCheckError):
        skinning.skin(torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(3, 4, 4))  # two joints, then three


def test_dataclasses_check_their_fields():
    with pytest.raises(TypeCheckError):
        Camera(torch.eye(4), torch.eye(3), torch.zeros(3), 2, 2)
    with pytest.raises(TypeCheckError):
        Rays(torch.zeros(5, 3), torch.zeros(4, 3), torch.zeros(5, dtype=torch.long))
    with pytest.raises(TypeCheckError):
        Rays(torch.zeros(5, 3), torch.zeros(5, 3), torch.zeros(5))  # frames are integers


def test_methods_check_what_they_return(monkeypatch):
    camera = Camera(torch.eye(3), torch.eye(3), torch.zeros(3), 2, 2)
    monkeypatch.setattr(torch, "cat", lambda *_: torch.zeros(7, 4))
    with pytest.raises(TypeCheckError):
        camera.project(torch.ones(7, 3))
