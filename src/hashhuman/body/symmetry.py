"""The symmetry of the body: which vertex lies opposite each vertex."""

from jaxtyping import Float, Int
from torch import Tensor

from hashhuman.body.nearest import nearest
from hashhuman.body.template import BodyTemplate


def opposite(template: BodyTemplate) -> tuple[Int[Tensor, "V"], Float[Tensor, "V"]]:
    """The vertex opposite each vertex in canonical space, and the distance (m) between it and the exact mirror image.

    The plane of symmetry is x = that of the root joint.
    """
    points = template.canonical_vertices
    mirrored = points.clone()
    mirrored[:, 0] = 2 * template.joints[0, 0] - points[:, 0]
    distance, index = nearest(mirrored, points)
    return index[:, 0], distance[:, 0]
