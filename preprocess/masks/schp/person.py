"""Which part of a picture is the person's: the box to look at, and whom to crop away."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from hashhuman.data.subject import Picture, Subject, SubjectWriter
from preprocess.keypoints.points import Keypoints, points_files
from preprocess.masks.parts import PartRenderer

_SEEN = 0.5  # visibility from which a keypoint counts
_REACH = 0.15  # of the body's longer side: how far clothes and hair go beyond the fitted body
_ON_BODY = 0.2  # fraction of a piece that must lie on the body for it to be the person's


class PersonBoxes:
    """Finds the person by the fitted body and, where there are keypoints, by those."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.keypoints = {int(path.stem): Keypoints.load(path) for path in points_files(subject.root)}

    def __call__(self, picture: Picture) -> Float[np.ndarray, "4"] | None:
        """x and y of the first and last pixels that hold the person, or None if no pixel of the picture does."""
        camera = self.subject.camera(picture.camera)
        points = [_project(self.subject, picture)]
        if picture.camera in self.keypoints:
            points.append(_seen(self.keypoints[picture.camera], picture.frame))
        corners = np.concatenate(points)
        if not len(corners):
            return None
        size = np.array([camera.width, camera.height])
        first, last = corners.min(0).clip(0, size - 1), corners.max(0).clip(0, size - 1)
        return np.concatenate([first, last]) if (last > first).all() else None


def _project(subject: Subject, picture: Picture) -> np.ndarray:
    """The body's vertices before the camera, in pixels."""
    vertices = torch.from_numpy(subject.vertices(picture.frame))
    projected = subject.camera(picture.camera).project(vertices).numpy()
    return projected[projected[:, 2] > 0, :2]


def _seen(keypoints: Keypoints, frame: int) -> np.ndarray:
    """The points of a frame that are in sight, in pixels; none if the person was not detected."""
    rows = (keypoints.frames == frame) & keypoints.detected
    return keypoints.image_points[rows][keypoints.visibility[rows] > _SEEN]


class PersonWriter:
    """Writes mask and part labels of the person alone; may be called from several threads."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.writer = subject, SubjectWriter(subject.root)
        self.render = PartRenderer(subject.template())

    def body(self, picture: Picture) -> UInt8[np.ndarray, "H W"]:
        """LIP classes of the fitted body."""
        return self.render(self.subject.camera(picture.camera), self.subject.vertices(picture.frame))

    def write(self, picture: Picture, labels: UInt8[np.ndarray, "H W"], body: UInt8[np.ndarray, "H W"]) -> float:
        """Writes what of `labels` (LIP classes) is the person's and returns the fraction of the picture it fills."""
        labels = keep_person(labels, body != 0)
        covered = labels != 0
        self.writer.write_mask(picture.camera, picture.frame, covered.astype(np.float32))
        self.writer.write_parts(picture.camera, picture.frame, labels)
        return float(covered.mean())


def keep_person(labels: UInt8[np.ndarray, "H W"], body: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Labels of the person alone: what lies near the fitted body, in pieces that lie on it.

    Of the pieces within reach of the body, those stay of which a fraction lies on it, and the one with most on it.
    """
    if not body.any():
        return np.zeros_like(labels)
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    reach = _REACH * max(rows[-1] - rows[0], columns[-1] - columns[0])
    distance = cv2.distanceTransform((~body).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    near = np.where(distance <= reach, labels, 0).astype(np.uint8)
    count, pieces = cv2.connectedComponents((near != 0).astype(np.uint8))
    pieces = np.asarray(pieces, np.int32)
    area = np.bincount(pieces.ravel(), minlength=count)
    on_body = np.bincount(pieces[body], minlength=count)
    on_body[0] = 0  # what no piece covers
    keep = on_body > _ON_BODY * area
    keep[on_body.argmax()] = True
    keep[0] = False
    return np.where(keep[pieces], near, 0).astype(np.uint8)


def describe(shares: list[float]) -> str:
    """A few words on the fractions of the pictures that `PersonWriter` filled."""
    empty = f", nobody in {shares.count(0.0)} of them" if 0.0 in shares else ""
    return f"{len(shares)} masks{empty}; the person fills {100 * np.mean(shares):.0f} % of the picture"
