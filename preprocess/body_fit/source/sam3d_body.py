"""SAM 3D Body (Meta, 2025): a folder with an .npz for each picture, of the dictionary that it returns for a person.

Facts from github.com/facebookresearch/sam-3d-body at b5c765a (sam_3d_body/sam_3d_body_estimator.py,
models/heads/mhr_head.py, models/heads/camera_head.py, models/meta_arch/sam3d_body.py, metadata/mhr70.py). Its demo
writes pictures only: `for i, person in enumerate(outputs): numpy.savez(f"{picture}_{i}.npz", **person)` keeps what it
found. Of a person's dictionary, this reader takes {pred_keypoints_3d 70 x 3, pred_cam_t 3, focal_length,
pred_keypoints_2d 70 x 2}. Points are in metres from the root, already turned to the camera's axes (x right, y down, z
forward), and lie at point + pred_cam_t before the camera. Focal length and 2D points are in pixels of the picture from
its corner; the principal point is the picture's middle.

Nothing else of the dictionary is read. Its body is MHR, whose angles mean nothing without MHR's own skeleton: its model
parameters are in decimetres and Euler angles, its scales exponents of two, and `pred_global_rots` stays in MHR's axes
(y up, z backward), unlike the points. So shape and poses are fitted to the points, one shape for the video.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hashhuman.errors import UserError
from hashhuman.io.files import load_object_npz
from preprocess.body_fit.source.camera import centred
from preprocess.body_fit.source.follow import detection_of, follow, people_in, picture_files, picture_numbers_of
from preprocess.body_fit.source.motion import Motion, Source, ordered
from preprocess.validate import numeric_array

KEYS = ("pred_keypoints_3d", "pred_cam_t", "focal_length", "pred_keypoints_2d")
LANDMARKS = {
    "nose": 0, "left_eye": 1, "right_eye": 2, "left_ear": 3, "right_ear": 4, "left_shoulder": 5, "right_shoulder": 6,
    "left_elbow": 7, "right_elbow": 8, "left_wrist": 62, "right_wrist": 41, "left_hip": 9, "right_hip": 10,
    "left_knee": 11, "right_knee": 12, "left_ankle": 13, "right_ankle": 14, "left_big_toe": 15, "right_big_toe": 18,
    "left_small_toe": 16, "right_small_toe": 19, "left_heel": 17, "right_heel": 20, "left_thumb_knuckle": 44,
    "right_thumb_knuckle": 23, "left_index_knuckle": 49, "right_index_knuckle": 28, "left_pinky_knuckle": 61,
    "right_pinky_knuckle": 40,
}  # fmt: skip
"""The body model's landmark, and which of the 70 points it is."""
FITS = 0.005  # of the picture: how far 2D and 3D points may be apart
SHAPE = 0.02  # by how much the picture's proportions may differ from the subject's


class Sam3dBody(Source):
    """Reads the folder. People are followed from picture to picture."""

    def files(self, path: Path) -> list[Path]:
        return picture_files(path, {".npz"}, "SAM 3D Body")

    def read(self, path: Path, width: int, height: int) -> list[Motion]:
        files = self.files(path)
        pictures: dict[int, list[dict[str, Any]]] = {}
        for number, file in zip(picture_numbers_of([file.stem for file in files], path), files):
            people = people_in(load_object_npz(file), KEYS, file)
            pictures.setdefault(number, []).extend(_person(person, file, width, height) for person in people)
        tracks = follow(pictures.items(), lambda person: person["detection"])
        if not tracks:
            raise UserError(f"{path} holds no people: SAM 3D Body found no person in the video.")
        # one camera for the video, also where somebody is lost and found again as another track
        focal = float(np.median([person["focal"] for people in pictures.values() for person in people]))
        return [_motion(str(i), *track, path, centred(focal, width, height)) for i, track in enumerate(tracks)]


def _person(person: dict[str, Any], path: Path, width: int, height: int) -> dict[str, Any]:
    """Points (m) before the camera, focal length and 2D points (pixels of the subject)."""
    points = numeric_array(person["pred_keypoints_3d"], path, "pred_keypoints_3d", 70, 3)
    points = points + numeric_array(person["pred_cam_t"], path, "pred_cam_t", 3)
    pixels = numeric_array(person["pred_keypoints_2d"], path, "pred_keypoints_2d", 70, 2)
    focal = float(numeric_array(person["focal_length"], path, "focal_length"))
    if focal <= 0 or (points[:, 2] <= 0).any():
        raise UserError(f"{path}: focal_length and the points' depths must be positive: create the file again.")
    middles = pixels - focal * points[:, :2] / points[:, 2:]
    middle = np.median(middles, 0)
    if np.abs(middles - middle).max() > FITS * max(2 * middle.max(), 1):
        raise UserError(
            f"{path}: pred_keypoints_2d are not where pred_keypoints_3d + pred_cam_t are seen with focal_length: save "
            "the points as SAM 3D Body returns them (metres; x right, y down, z forward)."
        )
    if (middle <= 0).any() or abs(middle[0] * height / (middle[1] * width) - 1) > SHAPE:
        raise UserError(
            f"{path} is of a picture of {2 * middle[0]:.0f} x {2 * middle[1]:.0f} pixels, whose shape is not that of "
            f"the subject's ({width} x {height}): run SAM 3D Body on whole pictures of this video."
        )
    scale = width / (2 * middle[0])
    detection = detection_of(pixels * scale - 0.5, path, "pred_keypoints_2d")
    return {"points": points[list(LANDMARKS.values())], "focal": focal * scale, "detection": detection}


def _motion(name: str, numbers: list[int], people: list[dict[str, Any]], path: Path, K: np.ndarray) -> Motion:
    points = np.stack([person["points"] for person in people])
    focals = np.array([person["focal"] for person in people])
    # a person seen with a longer lens is as much farther away
    points[..., 2] += (points[..., 2].mean(1) * (K[0, 0] / focals - 1))[:, None]
    order = list(LANDMARKS)
    motion = Motion(
        at=np.array(numbers, float),
        rotations=None,
        transl=points[:, [order.index("left_hip"), order.index("right_hip")]].mean(1),
        betas=np.zeros(0),
        K=K,
        points=points,
        landmarks=tuple(order),
        seen=np.stack([person["detection"].points[list(LANDMARKS.values())].mean(0) for person in people]),
        track=name,
    )
    return ordered(motion, path)
