"""What several cameras see of a person."""

import numpy as np
import torch

from hashhuman.geometry.camera import Camera
from preprocess.keypoints.movenet import Detection
from preprocess.keypoints.points import Keypoints
from preprocess.keypoints.tracks import Track

MOMENTS = (0, 5, 10, 15)


def pixels(camera: Camera, points: np.ndarray) -> np.ndarray:
    return camera.project(torch.from_numpy(points).float())[..., :2].numpy().astype(float)


def track(camera: Camera, points: np.ndarray, moments=MOMENTS, noise=0.0) -> Track:
    """Somebody's detections; `points` (moments, 17, 3) in the world."""
    rng, made = np.random.default_rng(1), None
    for moment, each in zip(moments, points):
        place = pixels(camera, each) + rng.normal(0, noise + 1e-9, (17, 2))
        detection = Detection(place, np.full(17, 0.8), np.concatenate([place.min(0), place.max(0)]), 0.9)
        if made is None:
            made = Track(moment, detection)
        made.detections[moment] = detection
    assert made is not None
    return made


def keypoints(camera: Camera, points: np.ndarray) -> Keypoints:
    """Of points (F, 33, 3) in the world; metric points that are wrong."""
    made = Keypoints.empty(list(range(len(points))))
    made.detected[:], made.visibility[:], made.presence[:] = True, 0.9, 0.9
    made.image_points[:] = pixels(camera, points)
    made.world_points[:] = 7
    return made
