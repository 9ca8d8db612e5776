"""Part labels: which part of the body does each pixel of the mask show? As LIP classes (`hashhuman.data.lip`)."""

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

# Of the classes that `lip.PART_CLASSES` gathers into a part, the one to write: face, upper clothes, arms; and legs.
_CLASS = {"body": 5, "head": 13, "larm": 14, "rarm": 15}
_LEFT_LEG, _RIGHT_LEG = 16, 17


def joint_classes(
    joint_names: Sequence[str], parts: Mapping[str, Sequence[str]] = INSTANT_NVR_PARTS
) -> UInt8[np.ndarray, " J"]:
    """The LIP class of what each joint moves. Raises UserError unless each joint lies in exactly one part."""
    names = list(parts)
    owners = [names[part] for part in part_of_joints(joint_names, parts)]
    legs = [_LEFT_LEG if name.startswith("left") else _RIGHT_LEG for name in joint_names]
    return np.array([_CLASS.get(owner, leg) for owner, leg in zip(owners, legs)], np.uint8)


def face_classes(
    faces: Int[np.ndarray, "F 3"], lbs_weights: Float[np.ndarray, "V J"], of_joint: UInt8[np.ndarray, " J"]
) -> UInt8[np.ndarray, " F"]:
    """The LIP class of each face: that of the joints that move its corners most."""
    per_class = lbs_weights @ np.eye(lip.N_CLASSES)[of_joint]  # V, classes
    return per_class[faces].sum(1).argmax(1).astype(np.uint8)


class PartRenderer:
    """Draws a body's parts.

    Args:
        template: the body, with joints named as in `INSTANT_NVR_PARTS`.
    """

    def __init__(self, template: BodyTemplate) -> None:
        self.faces = template.faces.numpy()
        self.classes = face_classes(self.faces, template.lbs_weights.numpy(), joint_classes(template.joint_names))

    def __call__(
        self, camera: Camera, vertices: Float[np.ndarray, "V 3"]
    ) -> UInt8[np.ndarray, "{camera.height} {camera.width}"]:
        """LIP classes of the body (world, m) as the camera sees it; 0 beside it."""
        face = rasterise(camera.project(torch.from_numpy(vertices)).numpy(), self.faces, camera.height, camera.width)
        return np.where(face >= 0, self.classes[face], 0).astype(np.uint8)


def spread(classes: UInt8[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Gives every pixel of `mask` the class of the nearest pixel that has one (is not 0), and 0 to all others."""
    sources = classes != 0
    if not sources.any():
        return np.zeros_like(classes)
    _, nearest = cv2.distanceTransformWithLabels(
        (~sources).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    class_of_source = np.zeros(nearest.max() + 1, np.uint8)
    class_of_source[nearest[sources]] = classes[sources]
    return np.where(mask, class_of_source[nearest], 0).astype(np.uint8)
