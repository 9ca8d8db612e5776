"""A sequence's first shape, poses and places, from the motion that another tool found."""

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
from preprocess.body_fit.init import placement
from preprocess.body_fit.init.retarget import alignment, measured_limbs, retarget, t_pose
from preprocess.body_fit.optimise.sequence import BodySequence
from preprocess.body_fit.optimise.terms import project
from preprocess.body_fit.source.motion import Motion

ELSEWHERE = 0.3  # of the person's height in the picture: a body farther off is not that person
BONE = 0.01  # metres: how well the bones of another body can be matched


@torch.no_grad()
def begin(sequence: BodySequence, evidence: Evidence, motion: Motion, path: Path) -> None:
    """Gives a sequence the shape, poses and places of a motion of the same F frames, read from `path`.

    Raises UserError if the body then is not where the keypoints are.
    """
    root, rest = _take_pose(sequence, motion)
    root, pelvis, K = _before_camera(sequence, evidence, motion, root, rest)
    if not (pelvis[:, 2] > 0.1).all():
        raise UserError(f"{path} has the person behind the camera: its axes are not x right, y down, z forward.")
    root, pelvis = placement.under_camera(root, pelvis, K, evidence.K)
    _turn(sequence, root)
    sequence.pelvis.copy_(pelvis / sequence().size)
    _refuse_elsewhere(sequence, evidence, path)


def _take_pose(sequence: BodySequence, motion: Motion) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "3"] | None]:
    """Sets shape and pose; returns the root's rotation, and where SMPL's pelvis rests (m) if the body is SMPL's."""
    body, names = sequence.body, SMPL_JOINTS[: motion.rotations.shape[1]]
    limbs = {} if motion.joints is None else measured_limbs(motion.rotations, motion.joints, names, PARENTS)
    same_rest = body.name == "smpl"
    if same_rest:
        betas, count = torch.zeros_like(body.shape_mean), min(len(body.shape_mean), len(motion.betas))
        betas[:count] = torch.from_numpy(motion.betas[:count]).float()
        sequence.shape.copy_((betas - body.shape_mean) / body.shape_deviation)
    elif limbs:
        sequence.shape.copy_(shape_of_bones(body, {name: float(bone.norm()) for name, bone in limbs.items()}))
    template = body.template(sequence.shape_vector())
    directions = {} if same_rest else {**t_pose(names), **limbs}
    rotations = torch.from_numpy(motion.rotations).float()
    root, pose = retarget(rotations, names, PARENTS, template, alignment(template, directions))
    sequence.pose.copy_(pose)
    return root, template.joints[0] if same_rest else None


def _before_camera(
    sequence: BodySequence, evidence: Evidence, motion: Motion, root: Float[Tensor, "F 3 3"],
    rest: Float[Tensor, "3"] | None,
) -> tuple[Float[Tensor, "F 3 3"], Float[Tensor, "F 3"], Float[Tensor, "3 3"]]:  # fmt: skip
    """Root rotation and pelvis (m) in the axes of a camera, and its intrinsics: the tool's camera, or the pictures'."""
    image, weight = evidence.image, evidence.image_weight
    transl = torch.from_numpy(motion.transl).float()
    pelvis = None if rest is None else transl + rest
    if motion.joints is not None and np.isfinite(motion.joints[:, 0]).all():
        pelvis = torch.from_numpy(motion.joints[:, 0]).float()
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
    return root, placement.settled(transl @ R.T + T, _landmarks(sequence, root), image, weight, K), K


def _landmarks(sequence: BodySequence, root: Float[Tensor, "F 3 3"]) -> Float[Tensor, "F L 3"]:
    """Landmarks about the pelvis (m), in the axes that `root` is against."""
    _turn(sequence, root)
    posed = sequence()
    return posed.landmarks - posed.joints[:, :1]


def _turn(sequence: BodySequence, root: Float[Tensor, "F 3 3"]) -> None:
    sequence.root.copy_(torch.cat([root[..., 0], root[..., 1]], -1))


def _refuse_elsewhere(sequence: BodySequence, evidence: Evidence, path: Path) -> None:
    used = evidence.image_weight > placement.SEEN
    if not used.any():
        return
    off = (project(sequence().landmarks, evidence.K) - evidence.image).norm(dim=-1)[used].median()
    heights = [evidence.image[f, used[f], 1] for f in range(len(used)) if used[f].any()]
    height = torch.stack([y.max() - y.min() for y in heights]).median()
    if off > ELSEWHERE * height:
        raise UserError(
            f"the bodies of {path} lie {off:.0f} pixels from the keypoints, in the median: they are another person's "
            "(preprocess.body_fit.person), of another video, or of another camera."
        )


@torch.enable_grad()
def shape_of_bones(body: BodyModel, lengths: Mapping[str, float], steps: int = 150) -> Float[Tensor, "S"]:
    """The shape (prior deviations from the prior mean) whose limbs are of the given lengths.

    Metres, by the joint that moves the limb. Least squares against the prior; `BONE` is how far a limb may be off.
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
