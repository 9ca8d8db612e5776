"""Part labels, as LIP classes (`hashhuman.data.lip`): the part of the body that each pixel shows."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_joints
from hashhuman.body.template import BodyTemplate
from hashhuman.data import lip
from hashhuman.geometry.camera import Camera
from preprocess.raster import rasterise

# The class to write for each part, of the classes that `lip.PART_CLASSES` maps to it: upper clothes, face, arms, legs.
_CLASS = {"body": 5, "head": 13, "larm": 14, "rarm": 15}
_LEFT_LEG, _RIGHT_LEG = 16, 17


def joint_classes(
    joint_names: Sequence[str], parts: Mapping[str, Sequence[str]] = INSTANT_NVR_PARTS
) -> UInt8[np.ndarray, " J"]:
    """The LIP class of the body part that each joint moves.

    Args:
        joint_names: in the body model's order, named as in `parts`.
        parts: the joints of each part.

    Raises UserError unless each joint lies in exactly one part.
    """
    names = list(parts)
    owners = [names[part] for part in part_of_joints(joint_names, parts)]
    legs = [_LEFT_LEG if name.startswith("left") else _RIGHT_LEG for name in joint_names]
    return np.array([_CLASS.get(owner, leg) for owner, leg in zip(owners, legs)], np.uint8)


def face_classes(
    faces: Int[np.ndarray, "F 3"], lbs_weights: Float[np.ndarray, "V J"], of_joint: UInt8[np.ndarray, " J"]
) -> UInt8[np.ndarray, " F"]:
    """The LIP class of each face: the class whose joints have the largest skinning weights at its corners.

    `of_joint` is the class of each joint.
    """
    per_class = lbs_weights @ np.eye(lip.N_CLASSES)[of_joint]  # V, classes
    return per_class[faces].sum(1).argmax(1).astype(np.uint8)


class PartRenderer:
    """Draws the parts of a body.

    Args:
        template: the body, with joints named as in `INSTANT_NVR_PARTS`.
    """

    def __init__(self, template: BodyTemplate) -> None:
        self.faces = template.faces.numpy()
        self.classes = face_classes(self.faces, template.lbs_weights.numpy(), joint_classes(template.joint_names))

    def __call__(
        self, camera: Camera, vertices: Float[np.ndarray, "V 3"]
    ) -> UInt8[np.ndarray, "{camera.height} {camera.width}"]:
        """LIP classes of a body with these vertices (world, m) as the camera sees it; 0 for the background."""
        face = rasterise(camera.project(torch.from_numpy(vertices)).numpy(), self.faces, camera.height, camera.width)
        return np.where(face >= 0, self.classes[face], 0).astype(np.uint8)


def spread_classes(classes: UInt8[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Gives every pixel of `mask` the class of the nearest pixel whose class is not 0, and all other pixels 0."""
    sources = classes != 0
    if not sources.any():
        return np.zeros_like(classes)
    _, nearest = cv2.distanceTransformWithLabels(
        (~sources).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    class_of_source = np.zeros(nearest.max() + 1, np.uint8)
    class_of_source[nearest[sources]] = classes[sources]
    return np.where(mask, class_of_source[nearest], 0).astype(np.uint8)
