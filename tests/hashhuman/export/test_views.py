"""The pictures of a turned body: upright, before the camera, from all sides."""

import torch

from hashhuman.body.template import BodyPose
from hashhuman.export.views import BakedView, filmed_views, turned_views
from hashhuman.geometry.camera import Camera
from tests.hashhuman.export.solid import SolidAvatar, SolidData, template


def test_filmed_views_have_the_frames_pose_and_camera(toy_folder):
    data = SolidData(toy_folder)
    views = filmed_views(SolidAvatar(), data, 3)
    frames = [data.train_frames[view.time] for view in views]
    assert len(views) == 3 and len({*frames}) == 3
    for view, frame in zip(views, frames):
        assert torch.equal(view.pose.body_pose, data.subject.pose(frame).body_pose) and view.share == 1.0


def test_the_body_turns_upright_before_the_camera():
    body, origin = template(), torch.zeros(3)
    angle = torch.tensor([0.3, -0.2, 0.1])
    rotation = BodyPose(origin[None], angle, origin).world_from_posed()[:3, :3]
    camera = Camera(torch.tensor([[90.0, 0, 32], [0, 90, 32], [0, 0, 1]]), rotation, torch.tensor([0, 0, 3.0]), 64, 64)
    pose = BodyPose(0.1 * torch.ones(len(body.joints), 3), torch.tensor([0.5, 1.0, 0.0]), torch.tensor([0.2, 0, 0]))
    turned = turned_views(BakedView(camera, pose, 4, 1.0), body, 4, 0.01)
    axes = torch.stack([view.pose.world_from_posed()[:3, :3] for view in turned])
    seen = camera.R @ axes  # the body's axes in the camera's
    assert (seen[:, 1, 1] < -0.7).all()  # its y points up in the picture
    toward = -seen[:, 2, 2]  # how far its front faces the camera
    assert toward[0] > 0.7 and toward[2] < -0.7 and (toward[[1, 3]].abs() < 0.2).all()
    pelvis = [view.pose.world_from_posed()[:3, :3] @ body.joints[0] + view.pose.transl for view in turned]
    filmed = pose.world_from_posed()[:3, :3] @ body.joints[0] + pose.transl
    assert all(torch.allclose(place, filmed, atol=1e-5) for place in pelvis)
    assert all(torch.equal(view.pose.body_pose, body.big_pose()) for view in turned)
    assert all(view.time is None and view.share == 0.01 for view in turned)
