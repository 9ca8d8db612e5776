"""How high a body is above the ground of exported files, y = 0, during a motion."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float

from hashhuman.body.template import BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.export.motion import Motion, body_poses


def heights(motion: Motion, template: BodyTemplate) -> Float[np.ndarray, "F"]:
    """The height (m) of the body's lowest vertex in each frame."""
    template, poses = template.to("cpu"), body_poses(motion, template)
    up, above = torch.from_numpy(motion.exported_from_world[1, :3]).float(), motion.exported_from_world[1, 3]
    return np.array([float((world_vertices(template, pose) @ up).min()) + above for pose in poses])


def on_ground(motion: Motion, template: BodyTemplate) -> Motion:
    """The motion moved up or down, so that the body's lowest vertex of all frames lies on the ground."""
    return dataclasses.replace(motion, root=motion.root - [0, heights(motion, template).min(), 0])
