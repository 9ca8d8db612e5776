"""PromptHMR (Wang et al., CVPR 2025): `results.pkl`, written by its video pipeline.

Facts from github.com/yufu-wang/PromptHMR at ea85d0a (pipeline/pipeline.py, phmr_vid.py, world.py, tools.py, utils.py,
scripts/demo_video.py): a joblib pickle of {camera: {img_focal, img_center 2, pred_cam_R, pred_cam_T}, people: {track:
{track_id, frames F, smplx_cam, smplx_world, ...}}, ...}. `smplx_cam` is {rotmat F x 55 x 3 x 3, shape F x 10, trans F x
3, pose F x 75, ...} of SMPL-X in the camera's axes, `smplx_world` {pose F x 165, shape, trans} in a world whose y axis
points up. Both translations are SMPL-X's, whose orientation turns about the pelvis. Focal length and centre are in
pixels of the pictures that it worked on, which are at most 896 high; the principal point is their middle. `frames`
count those pictures: of a video of more than 60 pictures a second, it takes only every second or third.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from preprocess.body_fit.source.camera import image_points, rescaled
from preprocess.body_fit.source.checks import entry, matrices, picture_numbers, smpl_joints, smpl_pose
from preprocess.body_fit.source.joblib_file import load_joblib
from preprocess.body_fit.source.motion import Coordinates, Motion, Source, camera_or_world, ordered
from preprocess.validate import numeric_array


class PromptHmr(Source):
    """Reads `results.pkl`.

    Args:
        coordinates: `camera`, or `world` for the motion from which PromptHMR has removed the camera's; for a static
            camera.
        step: PromptHMR took every step-th picture of the video, beginning with number step - 1: 2 where the video has
            120 pictures a second, and 1 up to 60.
    """

    def __init__(self, coordinates: Coordinates = "camera", step: int = 1):
        self.coordinates, self.step = camera_or_world(coordinates), step

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        content = load_joblib(path)
        camera, people = entry(content, "camera", path), entry(content, "people", path)
        focal = float(numeric_array(entry(camera, "img_focal", path), path, "img_focal"))
        center = numeric_array(entry(camera, "img_center", path), path, "img_center", 2)
        if focal <= 0 or (center <= 0).any():
            raise UserError(f"{path}: img_focal and img_center must be positive: create the file again.")
        if not isinstance(people, dict) or not people:
            raise UserError(f"{path} holds no people: PromptHMR found no person in the video.")
        K = rescaled(np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1]]), 2 * center[0], width)
        return [self._track(str(name), track, path, K) for name, track in people.items()]

    def _track(self, name: str, track: Any, path: Path, K: np.ndarray) -> Motion:
        seen_by_camera = entry(track, "smplx_cam", path)
        in_camera = matrices(entry(seen_by_camera, "rotmat", path), path, "rotmat", None, None)
        count = len(in_camera)
        trans = numeric_array(entry(seen_by_camera, "trans", path), path, "trans", count, 3)
        params, world = seen_by_camera, self.coordinates == "world"
        rotations = smpl_joints(in_camera, path, "rotmat")
        if world:
            params = entry(track, "smplx_world", path)
            rotations = smpl_pose(entry(params, "pose", path), path, "pose")
        motion = Motion(
            at=picture_numbers(entry(track, "frames", path), path, "frames", count) * self.step + self.step - 1,
            rotations=rotations,
            transl=numeric_array(entry(params, "trans", path), path, "trans", count, 3) if world else trans,
            betas=numeric_array(entry(params, "shape", path), path, "shape", count, None).mean(0),
            K=None if world else K,
            body="smplx",
            seen=image_points(K, trans),
            track=name,
        )
        if len(rotations) != count:
            raise UserError(
                f"{path}: pose of smplx_world must have {count} rows, as frames has: create the file again."
            )
        return ordered(motion, path)
