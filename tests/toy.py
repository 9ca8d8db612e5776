"""A body of 5 joints and 40 vertices made of boxes, and a subject folder of it: no 24 and no 6890 survives here."""

from pathlib import Path

import numpy as np
import torch

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data.subject import SubjectWriter
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera

JOINT_NAMES = ("pelvis", "head", "left_shoulder", "right_shoulder", "left_hip")
PARTS = {
    "body": ("pelvis",),
    "leg": ("left_hip",),
    "head": ("head",),
    "larm": ("left_shoulder",),
    "rarm": ("right_shoulder",),
}
LIP_CLASS = {"pelvis": 5, "head": 13, "left_shoulder": 14, "right_shoulder": 15, "left_hip": 16}
COLOURS = np.array([[200, 60, 60], [230, 190, 150], [70, 160, 70], [70, 90, 200], [180, 170, 60]], np.uint8)
SIZE = 48  # pixels
N_FRAMES = 6
N_CAMERAS = 2

# centre, half size, joint (m) and the axis and sign along which a limb leaves the torso
_BOXES = (
    ((0.0, 0.30, 0.0), (0.18, 0.30, 0.12), (0.0, 0.0, 0.0), (1, 1)),
    ((0.0, 0.74, 0.0), (0.10, 0.13, 0.10), (0.0, 0.60, 0.0), (1, 1)),
    ((0.45, 0.50, 0.0), (0.26, 0.06, 0.06), (0.18, 0.50, 0.0), (0, 1)),
    ((-0.45, 0.50, 0.0), (0.26, 0.06, 0.06), (-0.18, 0.50, 0.0), (0, -1)),
    ((0.08, -0.38, 0.0), (0.08, 0.37, 0.08), (0.08, 0.0, 0.0), (1, -1)),
)
_QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))  # outward


def template() -> BodyTemplate:
    """The rest body: torso, head, two arms and one leg. Limbs are soft where they meet the torso."""
    vertices, faces, weights, uv = [], [], [], []
    for joint, (centre, half, _, (axis, sign)) in enumerate(_BOXES):
        corners = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
        own = np.where(corners[:, axis] * sign > 0, 1.0, 0.7)
        weight = np.eye(5)[[joint] * 8] * own[:, None] + np.eye(5)[[0] * 8] * (1 - own[:, None])
        faces += [[8 * joint + q[i] for i in t] for q in _QUADS for t in ((0, 1, 2), (0, 2, 3))]
        vertices.append(np.array(centre) + corners * half)
        weights.append(weight)
        uv.append(np.stack([(joint + (corners[:, 0] + 1.2) / 2.4) / 5, (2 * corners[:, 1] + corners[:, 2] + 3) / 6], 1))
    return BodyTemplate(
        vertices=torch.tensor(np.concatenate(vertices)).float(),
        faces=torch.tensor(faces),
        lbs_weights=torch.tensor(np.concatenate(weights)).float(),
        joints=torch.tensor([box[2] for box in _BOXES]).float(),
        parents=(-1, 0, 0, 0, 0),
        joint_names=JOINT_NAMES,
        uv=torch.tensor(np.concatenate(uv)).float(),
    )


def pose(frame: int) -> BodyPose:
    """A pose of the toy: it waves and turns about."""
    swing = float(np.sin(0.9 * frame))
    body_pose = torch.zeros(5, 3)
    body_pose[1, 1], body_pose[2, 2] = 0.3 * swing, 0.5 * swing
    body_pose[3, 2], body_pose[4, 0] = -0.4 * swing, 0.3 * swing
    return BodyPose(body_pose, torch.tensor([0.05, 0.35 * frame, 0.0]), torch.tensor([0.02 * frame, 0.1, 0.03 * swing]))


def world_vertices(body: BodyTemplate, frame: int) -> torch.Tensor:
    """The toy's vertices in the world (m)."""
    matrix = pose(frame).world_from_posed()
    return skinning.transform(matrix, body.pose_vertices(pose(frame).body_pose))


def camera(index: int, size: int = SIZE) -> Camera:
    """Cameras around the toy, 3 m away, each a third of a turn further."""
    angle = 2 * np.pi * index / 3
    forward = -np.array([np.sin(angle), 0.1, np.cos(angle)])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    R = torch.tensor(np.stack([right, np.cross(forward, right), forward])).float()
    eye = torch.tensor([0.0, 0.2, 0.0]) - 3 * R[2]
    K = torch.tensor([[1.3 * size, 0, size / 2 - 0.5], [0, 1.3 * size, size / 2 - 0.5], [0, 0, 1]])
    return Camera(K, R, -R @ eye, size, size)


def cast(vertices: torch.Tensor, faces: torch.Tensor, view: Camera) -> np.ndarray:
    """The face that each pixel's centre sees, H x W, -1 for none: every ray against every triangle."""
    x, y = np.meshgrid(np.arange(view.width), np.arange(view.height))
    rays_o, rays_d = view.rays(torch.tensor(np.stack([x, y], -1).reshape(-1, 2)).float())
    o, d = rays_o.double().numpy(), rays_d.double().numpy()
    a, b, c = vertices.double().numpy()[faces.numpy()].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.einsum("fk,rfk->rf", normal, a - o[:, None]) / (d @ normal.T)
        hit = o[:, None] + depth[..., None] * d[:, None]
        inside = depth > 0
        for start, end in ((a, b), (b, c), (c, a)):
            inside &= np.einsum("rfk,fk->rf", np.cross(end - start, hit - start), normal) >= 0
    depth = np.where(inside, depth, np.inf)
    return np.where(inside.any(1), depth.argmin(1), -1).reshape(view.height, view.width)


def write_subject(root: Path, n_frames: int = N_FRAMES, n_cameras: int = N_CAMERAS, derived: bool = True) -> Path:
    """Writes a subject folder of the toy on black, with exact masks and part labels, and returns `root`.

    Without `derived`, what can be derived is left out: vertices, canonical vertices and texture coordinates.
    """
    body, writer = template(), SubjectWriter(root)
    cameras = [camera(index) for index in range(n_cameras)]
    rows = []
    for frame in range(n_frames):
        vertices = world_vertices(body, frame)
        writer.write_pose(frame, pose(frame))
        if derived:
            writer.write_vertices(frame, vertices.numpy())
        row = []
        for index, view in enumerate(cameras):
            face = cast(vertices, body.faces, view)
            joint = np.where(face >= 0, face // 12, 0)
            shade = (0.7 + 0.05 * (face % 6))[..., None]  # the sides of a box differ
            seen = face >= 0
            image = np.where(seen[..., None], COLOURS[joint] * shade, 0).round().astype(np.uint8)
            row.append(writer.write_image(index, frame, image))
            writer.write_mask(index, frame, seen.astype(np.float32))
            labels = np.array([LIP_CLASS[name] for name in JOINT_NAMES], np.uint8)[joint]
            writer.write_parts(index, frame, np.where(seen, labels, 0).astype(np.uint8))
        rows.append(row)
    writer.write_annots(cameras, [np.zeros(5)] * n_cameras, rows)
    writer.write_template(body)
    if not derived:
        for name in ("bigpose_vertices", "uv"):
            (root / f"smpl_lbs/{name}.npy").unlink()
    return root
