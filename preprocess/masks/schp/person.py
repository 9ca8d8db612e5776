"""Separates the person from others: the box to parse, and the labels that belong to the person."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from hashhuman.data.subject import Picture, Subject, SubjectWriter
from preprocess.keypoints.points import Keypoints, points_files
from preprocess.masks.parts import PartRenderer

_SEEN = 0.5  # visibility above which a keypoint is used
_REACH = 0.15  # of the body's longer side in the picture: how far clothes and hair extend beyond the fitted body
_ON_BODY = 0.2  # fraction of a connected piece that must lie on the body for the piece to be kept


class PersonBoxes:
    """Finds the box of the person from the fitted body and, if there are any, the keypoints."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.keypoints = {int(path.stem): Keypoints.load(path) for path in points_files(subject.root)}

    def __call__(self, picture: Picture) -> Float[np.ndarray, "4"] | None:
        """x and y of the box's first pixel, then of its last pixel; None if the person is outside the picture."""
        camera = self.subject.camera(picture.camera)
        points = [_visible_vertices(self.subject, picture)]
        if picture.camera in self.keypoints:
            points.append(_visible_keypoints(self.keypoints[picture.camera], picture.frame))
        corners = np.concatenate(points)
        if not len(corners):
            return None
        size = np.array([camera.width, camera.height])
        first, last = corners.min(0).clip(0, size - 1), corners.max(0).clip(0, size - 1)
        return np.concatenate([first, last]) if (last > first).all() else None


def _visible_vertices(subject: Subject, picture: Picture) -> np.ndarray:
    """Pixels (N, 2) of the body's vertices that lie in front of the camera."""
    vertices = torch.from_numpy(subject.vertices(picture.frame))
    projected = subject.camera(picture.camera).project(vertices).numpy()
    return projected[projected[:, 2] > 0, :2]


def _visible_keypoints(keypoints: Keypoints, frame: int) -> np.ndarray:
    """Pixels (N, 2) of a frame's visible keypoints; none if the person was not detected."""
    rows = (keypoints.frames == frame) & keypoints.detected
    return keypoints.image_points[rows][keypoints.visibility[rows] > _SEEN]


class PersonWriter:
    """Writes mask and part labels of the person only; may be called from several threads.

    Both are empty where the keypoints found nobody.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject, self.writer = subject, SubjectWriter(subject.root)
        self.render = PartRenderer(subject.template())
        found = {int(path.stem): Keypoints.load(path) for path in points_files(subject.root)}
        self.absent = {(camera, int(frame)) for camera, k in found.items() for frame in k.frames[~k.detected]}

    def body(self, picture: Picture) -> UInt8[np.ndarray, "H W"]:
        """LIP classes of the fitted body in a picture."""
        return self.render(self.subject.camera(picture.camera), self.subject.vertices(picture.frame))

    def paths(self, picture: Picture) -> list[Path]:
        """The files of a picture that `write` writes."""
        return [path(picture.camera, picture.frame) for path in (self.writer.mask_path, self.writer.parts_path)]

    def write(self, picture: Picture, labels: UInt8[np.ndarray, "H W"], body: UInt8[np.ndarray, "H W"]) -> float:
        """Writes the labels that belong to the person, and returns the fraction of the picture that they fill.

        Args:
            picture: whose files are written.
            labels: LIP classes of all people.
            body: LIP classes of the fitted body.
        """
        nobody = (picture.camera, picture.frame) in self.absent  # the body there is interpolated
        labels = np.zeros_like(labels) if nobody else keep_person(labels, body != 0)
        covered = labels != 0
        self.writer.write_mask(picture.camera, picture.frame, covered.astype(np.float32))
        self.writer.write_parts(picture.camera, picture.frame, labels)
        return float(covered.mean())


def keep_person(labels: UInt8[np.ndarray, "H W"], body: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Keeps the labels of the person, by the fitted body, and sets all others to 0.

    Labels far from the body are removed. Of the remaining connected pieces, those are kept of which a large enough
    fraction lies on the body, and the piece that covers most of it.

    Args:
        labels: LIP classes of all people.
        body: where the fitted body is.
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
    on_body[0] = 0  # label 0 is not a piece
    keep = on_body > _ON_BODY * area
    keep[on_body.argmax()] = True
    keep[0] = False
    return np.where(keep[pieces], near, 0).astype(np.uint8)


def describe(shares: list[float]) -> str:
    """A summary of the fractions of the pictures that `PersonWriter` has filled."""
    empty = f", nobody in {shares.count(0.0)} of them" if 0.0 in shares else ""
    return f"{len(shares)} masks{empty}; the person fills {100 * np.mean(shares):.0f} % of the picture"
