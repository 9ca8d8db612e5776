"""The first estimate from the motion that another tool found: shape, poses and positions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.anny import PARENTS
from hashhuman.body.model import BodyModel
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.errors import UserError
from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.geometry import matrix_from_6d, project, sixd_from_matrix
from preprocess.body_fit.init import placement
from preprocess.body_fit.init.from_landmarks import fit_landmarks
from preprocess.body_fit.init.retarget import alignment, measured_limbs, retarget, t_pose
from preprocess.body_fit.sequence import BodySequence
from preprocess.body_fit.source.motion import Motion

ELSEWHERE = 0.3  # of the person's height in the picture: a body farther from the keypoints is another person's
SMPL_FAMILY = {"smpl", "smplx"}  # they rest alike, but their shapes and origins differ
BONE = 0.01  # metres: deviation of the bone lengths of two bodies


@torch.no_grad()
def init_from_motion(sequence: BodySequence, evidence: Evidence, motion: Motion, path: Path) -> None:
    """Sets shape, pose, root and pelvis of a sequence from a motion.

    Args:
        sequence: of F frames.
        evidence: the points of the same frames, which decide what the motion leaves open.
        motion: of the same frames.
        path: the file of the motion, for error messages.

    Raises UserError if the body ends up behind the camera or away from the keypoints.
    """
    if motion.points is None:
        root, rest = _take_pose(sequence, motion)
        pelvis = _pelvis(motion, rest)
    else:
        fit_landmarks(sequence, motion.landmarks, torch.from_numpy(motion.points).float())
        root, pelvis = matrix_from_6d(sequence.root), sequence().joints[:, 0]
    root, pelvis, K = _in_front_of_camera(sequence, evidence, motion, root, pelvis)
    if not (pelvis[:, 2] > 0.1).all():
        raise UserError(
            f"{path} has the person behind the camera: its camera axes must be x right, y down, z forward (OpenCV)."
        )
    root, pelvis = placement.under_camera(root, pelvis, K, evidence.K)
    _set_root(sequence, root)
    sequence.pelvis.copy_(pelvis / sequence().size)
    _refuse_elsewhere(sequence, evidence, path)


def _take_pose(sequence: BodySequence, motion: Motion) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "3"] | None]:
    """Sets shape and pose; returns the root's rotation, and the pelvis joint at rest (m) if it is the motion's body."""
    assert motion.rotations is not None
    body, names = sequence.body, SMPL_JOINTS[: motion.rotations.shape[1]]
    limbs = {} if motion.joints is None else measured_limbs(motion.rotations, motion.joints, names, PARENTS)
    same_body = body.name == motion.body
    same_rest = same_body or {body.name, motion.body} <= SMPL_FAMILY
    if same_body:
        betas, count = torch.zeros_like(body.shape_mean), min(len(body.shape_mean), len(motion.betas))
        betas[:count] = torch.from_numpy(motion.betas[:count]).float()
        sequence.shape.copy_((betas - body.shape_mean) / body.shape_deviation)
    elif limbs:
        sequence.shape.copy_(shape_of_bones(body, {name: float(bone.norm()) for name, bone in limbs.items()}))
    template = body.template(sequence.shape_vector())
    usual = t_pose(names) if motion.limbs is None else {n: torch.from_numpy(v).float() for n, v in motion.limbs.items()}
    directions = {} if same_rest else {**usual, **limbs}
    rotations = torch.from_numpy(motion.rotations).float()
    root, pose = retarget(rotations, names, PARENTS, template, alignment(template, directions))
    sequence.pose.copy_(pose)
    return root, template.joints[0] if same_body else None


def _pelvis(motion: Motion, rest: Float[Tensor, "3"] | None) -> Float[Tensor, "F 3"] | None:
    """The pelvis (m) in the motion's axes, from its joints or from the pelvis at rest; None if both are unknown."""
    if motion.joints is not None and np.isfinite(motion.joints[:, 0]).all():
        return torch.from_numpy(motion.joints[:, 0]).float()
    return None if rest is None else torch.from_numpy(motion.transl).float() + rest


def _in_front_of_camera(
    sequence: BodySequence, evidence: Evidence, motion: Motion, root: Float[Tensor, "F 3 3"],
    pelvis: Float[Tensor, "F 3"] | None,
) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"], Float[Tensor, "3 3"]]:  # fmt: skip
    """Root rotation and pelvis (m) in the axes of a camera, and its intrinsics.

    That is the tool's camera; if the tool gives none, it is the subject's. Where the pelvis is unknown, it follows from
    the translations and the keypoints.
    """
    image, weight = evidence.image, evidence.image_weight
    transl = torch.from_numpy(motion.transl).float()
    if motion.hips is not None:
        pelvis = torch.from_numpy(motion.hips).float() - _hips(sequence, root)
    if motion.K is None:
        K = evidence.K
        landmarks = _landmarks(sequence, root) + (transl if pelvis is None else pelvis)[:, None]
        R, T = placement.camera_from_world(landmarks, image, weight, K)
    else:
        K = torch.from_numpy(motion.K).float()
        R, T = (torch.from_numpy(x).float() for x in motion.camera_from_axes)
    root = R @ root
    if pelvis is not None:
        return root, pelvis @ R.T + T, K
    return root, placement.fit_translation(transl @ R.T + T, _landmarks(sequence, root), image, weight, K), K


def _landmarks(sequence: BodySequence, root: Float[Tensor, "F 3 3"]) -> Float[Tensor, "F L 3"]:
    """Landmarks relative to the pelvis (m), in the axes of `root`."""
    _set_root(sequence, root)
    posed = sequence()
    return posed.landmarks - posed.joints[:, :1]


def _hips(sequence: BodySequence, root: Float[Tensor, "F 3 3"]) -> Float[Tensor, "F 3"]:
    """The middle of the hip joints relative to the pelvis (m), in the axes of `root`."""
    _set_root(sequence, root)
    joints, names = sequence().joints, list(sequence.body.joint_names)
    return joints[:, [names.index("left_hip"), names.index("right_hip")]].mean(1) - joints[:, names.index("pelvis")]


def _set_root(sequence: BodySequence, root: Float[Tensor, "F 3 3"]) -> None:
    sequence.root.copy_(sixd_from_matrix(root))


def _refuse_elsewhere(sequence: BodySequence, evidence: Evidence, path: Path) -> None:
    """Raises UserError if the body lies away from the keypoints."""
    used = evidence.image_weight > placement.SEEN
    if not used.any():
        return
    off = (project(sequence().landmarks, evidence.K) - evidence.image).norm(dim=-1)[used].median()
    heights = [evidence.image[f, used[f], 1] for f in range(len(used)) if used[f].any()]
    height = torch.stack([y.max() - y.min() for y in heights]).median()
    if off > ELSEWHERE * height:
        raise UserError(
            f"the bodies of {path} lie {off:.0f} pixels from the keypoints (median), so they are of another person, "
            "video or camera: choose the person (preprocess.body_fit.person) or the file (preprocess.body_fit.path)."
        )


@torch.enable_grad()
def shape_of_bones(body: BodyModel, lengths: Mapping[str, float], steps: int = 150) -> Float[Tensor, "S"]:
    """The shape (in prior deviations from the prior mean) whose limbs have the given lengths.

    Minimises the squared errors of the lengths, in units of `BONE`, plus the prior of the shape.

    Args:
        body: the body model.
        lengths: of the limbs (m), by the joint that moves the limb.
        steps: of Adam.
    """
    names = list(body.joint_names)
    ends = [(names.index(name), body.parents.index(names.index(name))) for name in lengths]
    starts, stops = (torch.tensor(side) for side in zip(*ends))
    target = torch.tensor(list(lengths.values()))
    basis = body.joint_basis()
    shape = torch.zeros_like(body.shape_mean, requires_grad=True)
    optimizer = torch.optim.Adam([shape], lr=0.05)
    for _ in range(steps):
        joints = torch.einsum("k,kjc->jc", body.basis(body.shape_mean + shape * body.shape_deviation), basis)
        miss = ((joints[stops] - joints[starts]).norm(dim=-1) - target) / BONE
        loss = miss.square().mean() + shape.square().sum() * 0.1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return shape.detach()
