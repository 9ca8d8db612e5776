"""Two ways to write a body's global motion.

Here and in ZJU-MoCap's files: world = Rh posed + Th, about the origin, with the root joint's own rotation zero.
SMPL: the root joint turns by `global_orient` about its rest position j0, then everything moves by `transl`.
So the rotations are equal and transl = Th + Rh j0 - j0.
"""

from jaxtyping import Float
from torch import Tensor

from hashhuman.geometry.skinning import axis_angle_to_matrix


def transl_from_Th(
    Rh: Float[Tensor, "*batch 3"], Th: Float[Tensor, "*batch 3"], pelvis: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3"]:
    """SMPL's `transl` (m); its `global_orient` is Rh (axis-angle). `pelvis` is the shaped rest pelvis j0 (m)."""
    return Th + axis_angle_to_matrix(Rh) @ pelvis - pelvis


def Th_from_transl(
    global_orient: Float[Tensor, "*batch 3"], transl: Float[Tensor, "*batch 3"], pelvis: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3"]:
    """Our `Th` (m); our Rh is `global_orient` (axis-angle). `pelvis` is the shaped rest pelvis j0 (m)."""
    return transl - axis_angle_to_matrix(global_orient) @ pelvis + pelvis
