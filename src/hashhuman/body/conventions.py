"""Two conventions for a body's global motion.

Ours (`BodyPose`), which is also ZJU-MoCap's and EasyMocap's: world = R posed + transl. R = rotation(orient) turns about
the world's origin; the root joint's own rotation is zero. ZJU-MoCap's files call the two `Rh` and `Th`.

SMPL's: the root joint turns by `global_orient` about its rest position j0; then everything moves by SMPL's transl.

So the rotations are equal, and SMPL's transl = our transl + R j0 - j0.
"""

from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry.skinning import axis_angle_to_matrix


def smpl_transl(
    orient: Float[Tensor, "*batch 3"], transl: Float[Tensor, "*batch 3"], pelvis: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3"]:
    """SMPL's `transl` (m) for our `orient` (axis-angle, radians) and `transl` (m).

    SMPL's `global_orient` is `orient`. `pelvis` is j0: the root joint of the shaped body at rest (m).
    """
    return transl + axis_angle_to_matrix(orient) @ pelvis - pelvis


def transl_from_smpl(
    global_orient: Float[Tensor, "*batch 3"], transl: Float[Tensor, "*batch 3"], pelvis: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3"]:
    """Our `transl` (m) for SMPL's `global_orient` (axis-angle, radians) and `transl` (m).

    Our `orient` is `global_orient`. The inverse of `smpl_transl`; `pelvis` as there.
    """
    return transl - axis_angle_to_matrix(global_orient) @ pelvis + pelvis
