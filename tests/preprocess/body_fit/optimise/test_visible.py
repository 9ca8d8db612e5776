"""What hides what, against points placed by hand and against rays cast at the whole skin."""

import dataclasses

import numpy as np
import torch

from preprocess.body_fit.landmarks import LANDMARKS, OFFSETS
from preprocess.body_fit.optimise.visible import visible
from preprocess.body_fit.sequence import BodySequence, spread_vertices
from tests.preprocess.body_fit.conftest import FRAMES


def test_points_placed_by_hand(moving):
    points = torch.tensor([
        [0.0, 0, 3.0],  # faces the camera, nothing before it
        [0.01, 0, 3.3],  # faces the camera behind the first
        [0.01, 0, 3.05],  # so near behind it that it is of the same limb
        [0.3, 0, 3.3],  # beside it
        [0.6, 0, 3.0],  # turned away
        [0.6, 0, 3.5],  # behind what is turned away and so hides nothing
    ])  # fmt: skip
    normals = torch.tensor([[0.0, 0, -1]]).repeat(6, 1)
    normals[4, 2] = 1
    posed = dataclasses.replace(moving[1], vertices=points[None], normals=normals[None])
    assert visible(posed)[0].tolist() == [True, False, True, True, False, True]


def test_a_hand_that_comes_to_the_camera_hides_nothing_and_takes_no_memory(moving):
    """One point in the camera's plane, one behind it, one before it by a hair: the rest of the body is still seen."""
    near = torch.tensor([[0.2, 0, 0.0], [0.2, 0, -1.0], [0.2, 0.3, 1e-3]])
    points = torch.cat([torch.tensor([[0.3 * i - 0.7, 0, 3.0 + 0.1 * i] for i in range(6)]), near])
    posed = dataclasses.replace(
        moving[1], vertices=points[None], normals=-torch.nn.functional.normalize(points, dim=-1)[None]
    )
    assert visible(posed)[0].tolist() == [True] * 6 + [False] * 3


def test_what_is_called_visible_is_what_a_ray_meets_first(body, moving):
    template = body.template(moving[2].shape_vector().detach())
    dense = BodySequence(body, LANDMARKS, OFFSETS, spread_vertices(template.vertices, 700), FRAMES)
    dense.load_state_dict(moving[2].state_dict())
    with torch.no_grad():
        truth = dense()
    moves = torch.einsum("vj,fjab->fvab", template.lbs_weights, truth.bone_transforms)
    skin = (torch.einsum("fvab,vb->fva", moves[..., :3, :3], template.vertices) + moves[..., :3, 3]).numpy()
    seen, share, found = visible(truth).numpy(), [], []
    for f in (0, 4, 7):
        points = truth.vertices[f].numpy()[seen[f]]
        first = first_hit(skin[f][template.faces.numpy()], points)
        share.append((first > 1 - 0.02 / points[:, 2]).mean())  # nothing 2 cm before them
        facing = -(truth.normals[f] * torch.nn.functional.normalize(truth.vertices[f], dim=-1)).sum(-1).numpy() > 0.5
        points = truth.vertices[f].numpy()[facing]
        free = first_hit(skin[f][template.faces.numpy()], points) > 1 - 0.02 / points[:, 2]
        found.append(seen[f][facing][free].mean())
    assert min(share) > 0.93
    assert min(found) > 0.85  # of what a ray meets first and is not near the rim


def first_hit(triangles: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Along rays from the origin, in units of the direction: the first triangle (Moeller and Trumbore)."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    found = []
    for d in directions:
        p = np.cross(d, ac)
        determinant = (ab * p).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = -(a * p).sum(1) / determinant
            q = np.cross(-a, ab)
            v, t = q @ d / determinant, (ac * q).sum(1) / determinant
        found.append(t[(u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)].min(initial=np.inf))
    return np.array(found)
