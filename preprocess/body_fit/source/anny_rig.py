"""The rig that Anny had until its version 0.5: 163 bones, posed in each bone's own axes.

Anny 0.6 has 104 bones by default, and poses from which its old models' files do not follow: other axes, another head of
the root bone, and rest poses that identity no longer means. The old rig is still in the package; its bones at rest and
its forward kinematics say where each bone's skin goes, which any rig of the same body can follow.
"""

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hashhuman.body import anny_targets
from hashhuman.body.anny import PARENTS, YUP_FROM_ANNY, AnnyBody, bone_at_joint
from hashhuman.body.template import SMPL_JOINTS
from hashhuman.geometry.skinning import axis_angle_to_matrix
from preprocess.body_fit.geometry import rigid_rotation, rotation_between

BONES = 163
SHAPE = ("gender", "age", "muscle", "weight", "height", "proportions")
"""Anny's phenotypes that the free body has, in the order of both."""
_CHILD = {
    "spine1": "spine2", "spine2": "spine3", "spine3": "neck", "neck": "head", "collar": "shoulder",
    "shoulder": "elbow", "elbow": "wrist", "wrist": "hand", "hip": "knee", "knee": "ankle", "ankle": "foot",
}  # fmt: skip
"""The joint at the far end of a joint's bone; of those left out, the bone at the joint decides by itself."""


@functools.cache
def _model() -> Any:
    """The old model. Raises UserError without the package."""
    anny, *_ = AnnyBody.require()
    with anny_targets.read_fast(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # those files were made with it
        model = anny.create_fullbody_model(remove_unattached_vertices=False, all_phenotypes=True)
    return model.to(torch.float32)


@functools.cache
def _free_body() -> AnnyBody:
    return AnnyBody()


def smpl_motion(
    local: Float[np.ndarray, "F 163 3 3"], shape: Float[np.ndarray, "6"], root: Float[np.ndarray, "F 3"]
) -> tuple[Float[np.ndarray, "F 24 3 3"], Float[np.ndarray, "F 24 3"]]:
    """What poses of the old rig do to SMPL's joints of the free body.

    Where several bones make up a limb, such as the two of an upper arm, the limb points from joint to joint and twists
    as its last bone does. The pelvis lies where hips and spine are.

    Args:
        local: the bones' rotations against their parents, in their own axes at rest; the root's in the camera's axes.
        shape: the phenotypes `SHAPE`.
        root: where the head of the root bone is (m, camera axes).

    Returns:
        Each joint's rotation against its parent from the free body's rest pose, the pelvis' in the camera's axes; and
        the joints' positions (m, camera axes).
    """
    model = _model()
    labels, parents = list(model.bone_labels), list(model.bone_parents)
    with torch.no_grad():
        at_rest = model(phenotype_kwargs={n: torch.tensor([v]).float() for n, v in zip(SHAPE, shape)})
    rest = at_rest["rest_bone_poses"][0].double().numpy()
    turns, heads = _skin(local, rest, parents, root)
    yup = np.array(YUP_FROM_ANNY)
    joint_rest = _free_body().template(torch.from_numpy(shape).float()).joints.double().numpy()
    bones = [labels.index(bone_at_joint(joint)) for joint in SMPL_JOINTS]
    # the old root bone has its head elsewhere than the free body's, so each joint is taken along with its bone's skin
    joints = np.stack(
        [heads[:, b] + turns[:, b] @ (joint_rest[j] @ yup - rest[b, :3, 3]) for j, b in enumerate(bones)], 1
    )
    turned = np.zeros((len(local), len(bones), 3, 3))
    for j, name in enumerate(SMPL_JOINTS):
        side, _, base = name.rpartition("_")
        if base not in _CHILD:
            turned[:, j] = turns[:, bones[j]] @ yup.T
            continue
        child = SMPL_JOINTS.index("_".join(filter(None, (side, _CHILD[base]))))
        last = turns[:, parents[bones[child]]] @ yup.T
        bone = torch.from_numpy(last @ (joint_rest[child] - joint_rest[j]))
        swing = rotation_between(bone, torch.from_numpy(joints[:, child] - joints[:, j]))
        turned[:, j] = axis_angle_to_matrix(swing).numpy() @ last
    # bones of their own lead from the root to the legs and the spine, which here hang on the pelvis
    hung = [SMPL_JOINTS.index(name) for name in ("left_hip", "right_hip", "spine1")]
    there, here = joint_rest[hung], joints[:, hung]
    spread = torch.from_numpy(there).expand(len(local), -1, -1)
    turned[:, 0] = rigid_rotation(spread, torch.from_numpy(here)).numpy()
    joints[:, 0] = here.mean(1) + turned[:, 0] @ (joint_rest[0] - there.mean(0))
    against = np.swapaxes(turned[:, list(PARENTS[1:])], -1, -2) @ turned[:, 1:]
    return np.concatenate([turned[:, :1], against], 1), joints


def _skin(
    local: Float[np.ndarray, "F B 3 3"], rest: Float[np.ndarray, "B 4 4"], parents: Sequence[int],
    root: Float[np.ndarray, "F 3"],
) -> tuple[Float[np.ndarray, "F B 3 3"], Float[np.ndarray, "F B 3"]]:  # fmt: skip
    """How each bone turns its skin from rest, and where its head goes.

    Args:
        local: rotations of the bones in their own axes.
        rest: their poses at rest.
        parents: of the bones.
        root: the root's head.
    """
    axes, at = rest[:, :3, :3], rest[:, :3, 3]
    turns, heads = np.zeros_like(local), np.zeros((*local.shape[:2], 3))
    turns[:, 0], heads[:, 0] = local[:, 0] @ axes[0].T, root
    for bone, parent in enumerate(parents[1:], 1):
        turns[:, bone] = turns[:, parent] @ axes[bone] @ local[:, bone] @ axes[bone].T
        heads[:, bone] = heads[:, parent] + turns[:, parent] @ (at[bone] - at[parent])
    return turns, heads
