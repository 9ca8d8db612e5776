"""Fits shape and poses to points on the body that another tool found in space, whatever skeleton it has.

Joint angles of another skeleton mean nothing without that skeleton's rest pose. Points on the body mean the same to
both: joints of the limbs, face, knuckles, toes and heels. One shape and a pose in each frame are fitted to them by
Levenberg-Marquardt. Frames share nothing but the shape, so each step solves a small system for each frame and then one
for the shape (the Schur complement, as in bundle adjustment).
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.body.model import BodyModel
from hashhuman.geometry import skinning
from preprocess.body_fit.geometry import axis_angle_from_matrix, rigid_rotation, rotation_between, sixd_from_matrix
from preprocess.body_fit.joint_ranges import joint_spread
from preprocess.body_fit.sequence import BodySequence

DEVIATION = 0.01  # metres: of a point from its landmark
REST = 0.1  # weight of the prior that joints rest, which decides what no point tells
DIFFERENCE = 1e-3  # of a shape parameter, in prior deviations, to differentiate by
TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "big_toe"))


@dataclasses.dataclass
class _Pose:
    """The unknowns."""

    shape: Float[Tensor, "S"]
    """In prior deviations from the prior mean."""
    rotations: Float[Tensor, "F J 3 3"]
    """Of each joint against its parent."""
    pelvis: Float[Tensor, "F 3"]
    """Metres."""


@torch.no_grad()
def fit_landmarks(
    sequence: BodySequence, landmarks: Sequence[str], points: Float[Tensor, "F P 3"], steps: int = 40
) -> None:
    """Sets shape, root, pose and pelvis of a sequence of F frames so that its landmarks lie on the points.

    Args:
        sequence: whose parameters are set; the clothes stay as they are.
        landmarks: the body model's names of the P points; those of `TRUNK`, `HEAD` and `LIMBS` among them. Others may
            be points that the body lacks, and are left out.
        points: positions (m) in the axes of a camera.
        steps: at most.
    """
    known = [i for i, name in enumerate(landmarks) if _has(sequence.body, name)]
    problem = _Problem(sequence.body, tuple(landmarks[i] for i in known), points[:, known].double())
    pose = problem.begin()
    cost, damping = problem.cost(pose), 1e-3
    for _ in range(steps):
        tried = problem.step(pose, damping)
        if not (new := problem.cost(tried)) < cost:
            damping *= 10
            if damping > 1e4:
                break
            continue
        small = cost - new < 1e-6 * cost
        pose, cost, damping = tried, new, damping / 5
        if small:
            break
    sequence.shape.copy_(pose.shape)
    sequence.root.copy_(sixd_from_matrix(pose.rotations[:, 0]))
    sequence.pose[:, 1:] = axis_angle_from_matrix(pose.rotations[:, 1:]).float()
    sequence.pelvis.copy_(pose.pelvis / sequence().size)


class _Problem:
    """The least-squares problem of P points in F frames.

    Args:
        body: the body model.
        landmarks: its names of the points.
        points: positions (m).
    """

    def __init__(self, body: BodyModel, landmarks: tuple[str, ...], points: Float[Tensor, "F P 3"]) -> None:
        self.body, self.points = body, points
        self.point = {name: i for i, name in enumerate(landmarks)}
        self.joint = {name: j for j, name in enumerate(body.joint_names)}
        self.joint_basis, self.moments = body.joint_basis().double(), body.landmark_basis(landmarks).double()
        self.spread = joint_spread(body.joint_names).amax(-1).double()
        below = torch.eye(len(body.parents), dtype=torch.float64)
        for j in reversed(range(1, len(body.parents))):
            below[body.parents[j]] += below[j]
        self.below: Float[Tensor, "J J"] = below  # whether the second joint hangs on the first

    def begin(self) -> _Pose:
        """The first estimate: trunk and head by rigid alignment, limbs by the directions of their bones."""
        shape = torch.zeros(len(self.body.shape_mean), dtype=torch.float64)
        joints, moments = self._at_rest(shape)
        rest, count = moments[..., :3].sum(1), len(self.points)

        def alignment(names: tuple[str, ...]) -> Float[Tensor, "F 3 3"]:
            chosen = [self.point[name] for name in names]
            return rigid_rotation(rest[chosen].expand(count, -1, -1), self.points[:, chosen])

        root = alignment(TRUNK)
        local = torch.zeros(count, len(joints), 3, dtype=torch.float64)
        local[:, self.joint["neck"]] = axis_angle_from_matrix(root.mT @ alignment(HEAD)) / 2
        local[:, self.joint["head"]] = local[:, self.joint["neck"]]
        for side in ("left", "right"):
            turned = {"shoulder": root, "hip": root}
            for start, end in LIMBS:
                a, b = self.point[f"{side}_{start}"], self.point[f"{side}_{end}"]
                seen = (turned[start].mT @ (self.points[:, b] - self.points[:, a])[..., None])[..., 0]
                turn = rotation_between(rest[b] - rest[a], seen)
                local[:, self.joint[f"{side}_{start}"]] = turn
                turned[end] = turned[start] @ skinning.axis_angle_to_matrix(turn)
        rotations = skinning.axis_angle_to_matrix(local)
        rotations[:, 0] = root
        trunk = [self.point[name] for name in TRUNK]
        return _Pose(shape, rotations, self.points[:, trunk].mean(1) - root @ (rest[trunk].mean(0) - joints[0]))

    def cost(self, pose: _Pose) -> float:
        """Squared residuals, in deviations, and the priors."""
        off = (self._landmarks(pose) - self.points) / DEVIATION
        return float(off.square().sum() + self._rest(pose).square().sum() + pose.shape.square().sum())

    def step(self, pose: _Pose, damping: float) -> _Pose:
        """The unknowns after a step of Levenberg and Marquardt."""
        joints, moments = self._at_rest(pose.shape)
        transforms = self._transforms(pose, joints)
        count, turns = len(self.points), 3 * len(joints)
        shares = torch.einsum("fjab,ljb->fjla", transforms, moments)  # of each joint in each landmark, homogeneous
        hanging = torch.einsum("ij,fjla->fila", self.below, shares)
        arms = hanging[..., :3] - hanging[..., 3:] * skinning.transform(transforms, joints)[:, :, None]
        residual = ((hanging[:, 0, :, :3] - self.points) / DEVIATION).flatten(1)

        # each joint turns what hangs on it about itself: d landmark = turn x arm; then the pelvis moves everything
        turning = -_cross(arms).permute(0, 2, 3, 1, 4).reshape(count, -1, turns)
        moving = torch.eye(3, dtype=torch.float64).repeat(len(self.point), 1).expand(count, -1, -1)
        own = torch.cat([turning, moving], -1) / DEVIATION  # F 3P 3J+3
        shaping = self._by_shape(pose) / DEVIATION  # F 3P S
        # |log R|^2 / 2 grows by log R along a rotation of the joint in its parent's axes
        parents = transforms[:, list(self.body.parents[1:]), :3, :3]
        resting = self._rest(pose)
        slope = torch.zeros(count, len(joints), 3, dtype=torch.float64)
        slope[:, 1:] = (parents @ (resting[:, 1:] * self._rest_weight()[1:, None])[..., None])[..., 0]
        weight = torch.zeros(turns + 3, dtype=torch.float64)
        weight[:turns] = self._rest_weight().square().repeat_interleave(3)

        hessian = own.mT @ own + torch.diag(weight)
        hessian = hessian + torch.diag_embed(damping * hessian.diagonal(dim1=-2, dim2=-1) + 1e-9)
        gradient = (own.mT @ residual[..., None])[..., 0]
        gradient[:, :turns] += slope.flatten(1)
        mixed = own.mT @ shaping
        solved = torch.linalg.solve(hessian, torch.cat([mixed, gradient[..., None]], -1))
        of_shape = (shaping.mT @ shaping).sum(0) + torch.eye(len(pose.shape), dtype=torch.float64)
        of_shape = of_shape + torch.diag(damping * of_shape.diagonal())
        right = (shaping.mT @ residual[..., None]).sum((0, 2)) + pose.shape
        schur = of_shape - (mixed.mT @ solved[..., :-1]).sum(0)
        change = -torch.linalg.solve(schur, right - (mixed.mT @ solved[..., -1:]).sum((0, 2)))
        moved = -solved[..., -1] - solved[..., :-1] @ change

        turn = moved[:, :turns].unflatten(1, (-1, 3))
        turn[:, 1:] = (parents.mT @ turn[:, 1:, :, None])[..., 0]
        rotations = skinning.axis_angle_to_matrix(turn) @ pose.rotations
        return _Pose(pose.shape + change, rotations, pose.pelvis + moved[:, turns:])

    def _rest_weight(self) -> Float[Tensor, "J"]:
        return REST**0.5 / self.spread

    def _rest(self, pose: _Pose) -> Float[Tensor, "F J 3"]:
        """Residuals of the prior that joints rest; the root has none."""
        angles = axis_angle_from_matrix(pose.rotations) * self._rest_weight()[:, None]
        angles[:, 0] = 0
        return angles

    def _at_rest(self, shape: Float[Tensor, "S"]) -> tuple[Float[Tensor, "J 3"], Float[Tensor, "P J 4"]]:
        """Joints and the landmarks' moments of the rest body."""
        basis = self.body.basis(self.body.shape_mean + shape.float() * self.body.shape_deviation).double()
        return torch.einsum("k,kjc->jc", basis, self.joint_basis), torch.einsum("k,kljc->ljc", basis, self.moments)

    def _transforms(self, pose: _Pose, joints: Float[Tensor, "J 3"]) -> Float[Tensor, "F J 4 4"]:
        transforms = skinning.forward_kinematics(pose.rotations, joints, list(self.body.parents))
        shift = torch.zeros_like(transforms)
        shift[..., :3, 3] = (pose.pelvis - joints[0])[:, None]
        return transforms + shift

    def _landmarks(self, pose: _Pose) -> Float[Tensor, "F P 3"]:
        joints, moments = self._at_rest(pose.shape)
        return torch.einsum("fjab,ljb->fla", self._transforms(pose, joints)[:, :, :3], moments)

    def _by_shape(self, pose: _Pose) -> Float[Tensor, "F 3P S"]:
        """The derivatives of the landmarks by the shape, by central differences."""
        columns = []
        for direction in torch.eye(len(pose.shape), dtype=torch.float64) * DIFFERENCE:
            ahead, behind = (
                self._landmarks(dataclasses.replace(pose, shape=pose.shape + sign * direction)) for sign in (1, -1)
            )
            columns.append((ahead - behind).flatten(1) / (2 * DIFFERENCE))
        return torch.stack(columns, -1)


def _has(body: BodyModel, landmark: str) -> bool:
    try:
        body.landmark_basis((landmark,))
    except KeyError:
        return False
    return True


def _cross(v: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrices [v] with [v] w = v x w."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
