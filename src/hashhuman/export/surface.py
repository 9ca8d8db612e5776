"""The surface of an avatar in canonical space: marching cubes on its density, cleaned and simplified."""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage, sparse
from torch import Tensor

from hashhuman.avatar.protocol import VolumetricAvatar
from hashhuman.body.surface import vertex_normals
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.errors import UserError
from hashhuman.export.packages import export_package

QUERIES = 1 << 15  # points that are asked for at a time; bounds the memory
LEVELS = np.geomspace(1.0, 1000.0, 61)  # densities (1/m) that are tried as the level of the surface
SMALLEST_PIECE = 0.02  # a piece apart from the body is kept from this share of the body's volume on


@dataclasses.dataclass(frozen=True)
class Surface:
    """A triangle mesh in canonical space (m); faces are counter-clockwise seen from outside."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    level: float  # the density (1/m) at which it was cut

    def normals(self) -> Float[Tensor, "V 3"]:
        """Outward unit normals, from the faces."""
        normals = vertex_normals(self.vertices, self.faces)
        return normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12)

    def volume(self) -> float:
        """The enclosed volume (cubic metres); negative if the faces are clockwise seen from outside."""
        return signed_volume(self.vertices, self.faces)


@dataclasses.dataclass(frozen=True)
class DensityGrid:
    """Density at the nodes of a regular grid in canonical space."""

    density: Float[np.ndarray, "X Y Z"]  # 1/m; 0 away from the body
    core: Bool[np.ndarray, "X Y Z"]  # nodes so deep in the body that the field is not defined there: solid
    low: Float[np.ndarray, "3"]  # position of the first node (m)
    voxel: float  # distance between nodes (m)


class SurfaceExtraction:
    """Finds the surface of an avatar.

    The field is a fog that is dense where the person is. The surface is where its density passes a level. The level is
    the one at which the surface seen from the front and the side covers the same places as the fog itself, where
    the fog covers a place if a ray along the axis loses half of its light. So nothing depends on how dense a training
    makes its fog.

    Args:
        voxel: distance between the nodes at which the field is asked (m).
        margin: greatest distance of the surface from the body's (m): clothes and hair.
        core: what lies deeper in the body (m) is solid, whatever the field says: no ray ever reached it.
        smooth: standard deviation of the blur of the density before it is cut (voxels).
        faces: most triangles.
        level: density (1/m) to cut at; None: found as above.
    """

    def __init__(
        self, voxel: float, margin: float, core: float, smooth: float, faces: int, level: float | None
    ) -> None:
        self.voxel, self.margin, self.core, self.smooth = voxel, margin, core, smooth
        self.faces, self.level = faces, level

    def __call__(self, avatar: VolumetricAvatar, template: BodyTemplate) -> Surface:
        """The surface of an avatar whose body is `template`.

        Raises:
            UserError: if the field is empty.
        """
        grid = density_grid(avatar, template, self.voxel, self.margin, self.core)
        smooth = ndimage.gaussian_filter(opacity(grid), self.smooth)
        level = find_level(grid, smooth) if self.level is None else self.level
        threshold = -np.expm1(-level * grid.voxel)
        if not (smooth >= threshold).any():
            raise UserError("The avatar is empty: no place has a density, so there is no surface; train it for longer.")
        mesh = largest_pieces(*cut(grid, without_cavities(smooth, threshold), threshold))
        return Surface(*simplified(*mesh, self.faces), level)


@torch.no_grad()
def density_grid(
    avatar: VolumetricAvatar, template: BodyTemplate, voxel: float, margin: float, core: float
) -> DensityGrid:
    """Asks the field for its density at all nodes within `margin` (m) of the body's surface."""
    body = template.canonical_vertices.cpu()
    low = body.amin(0) - margin - 2 * voxel
    size = tuple(((body.amax(0) - low + margin + 2 * voxel) / voxel).ceil().int().add(1).tolist())
    distance, inside = _to_body(template, low.numpy(), size, voxel)
    near = np.flatnonzero(distance < margin + 2 * voxel)
    nodes = low + voxel * torch.from_numpy(np.stack(np.unravel_index(near, size), 1)).float()
    origin = torch.zeros(3)
    scene = avatar.scene([BodyPose(template.big_pose().cpu(), origin, origin)])
    values = [avatar.query(some.to(avatar.device), scene)[1].cpu() for some in nodes.split(QUERIES)]
    density = np.zeros(size, np.float32)
    density.reshape(-1)[near] = torch.cat(values).numpy()
    return DensityGrid(density, inside & (distance > core), low.numpy(), voxel)


def opacity(grid: DensityGrid) -> Float[np.ndarray, "X Y Z"]:
    """How much light a voxel takes, in [0, 1]: cutting it is smoother than cutting the density, which has no bound."""
    return np.where(grid.core, np.float32(1), -np.expm1(-grid.density * np.float32(grid.voxel)))


def find_level(grid: DensityGrid, smooth: Float[np.ndarray, "X Y Z"]) -> float:
    """The density (1/m) at which the surface covers the same places as the fog, from the front and from the side."""
    optical = np.where(grid.core, np.float32(1e3), grid.density) * grid.voxel
    views = [(optical.sum(axis) > np.log(2), smooth.max(axis)) for axis in (0, 2)]
    fog, peak = (np.concatenate([view[i].ravel() for view in views]) for i in (0, 1))
    covered = [peak >= -np.expm1(-level * grid.voxel) for level in LEVELS]
    agreement = [(fog & cover).sum() / max((fog | cover).sum(), 1) for cover in covered]
    return float(LEVELS[int(np.argmax(agreement))])


def without_cavities(values: Float[np.ndarray, "X Y Z"], level: float) -> Float[np.ndarray, "X Y Z"]:
    """The values with 1 in all places that are shut off from the outside by values of at least `level`."""
    empty = labelled(values < level)
    outside = empty[0, 0, 0]  # the first node is empty: the margin is there
    return np.where((empty != 0) & (empty != outside), np.float32(1), values)


def cut(
    grid: DensityGrid, values: Float[np.ndarray, "X Y Z"], level: float
) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """The surface where `values` pass `level`; faces are counter-clockwise seen from where the values are lower."""
    measure = export_package("skimage.measure", "scikit-image")
    places, faces, _, _ = measure.marching_cubes(values, level, allow_degenerate=False)
    vertices = grid.low + grid.voxel * places
    # The winding differs between libraries, and between versions of one: the sign of the volume tells.
    if signed_volume(torch.from_numpy(vertices), torch.from_numpy(faces.astype(np.int64))) < 0:
        faces = faces[:, ::-1]
    return vertices.astype(np.float32), np.ascontiguousarray(faces, np.int64)


def labelled(marked: Bool[np.ndarray, "X Y Z"]) -> Int[np.ndarray, "X Y Z"]:
    """The number of each marked node's connected piece, from 1; 0 elsewhere."""
    labels = np.zeros(marked.shape, np.int32)
    ndimage.label(marked, output=labels)
    return labels


def pieces(faces: Int[np.ndarray, "F 3"], n_vertices: int) -> tuple[int, Int[np.ndarray, "V"]]:
    """The number of connected pieces of a mesh, and the piece of each vertex."""
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), [n_vertices] * 2)
    return sparse.csgraph.connected_components(graph, directed=False)


def largest_pieces(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "G 3"]]:
    """The largest connected piece, and others of at least `SMALLEST_PIECE` of its volume."""
    _, piece = pieces(faces, len(vertices))
    a, b, c = vertices.astype(float)[faces].transpose(1, 0, 2)
    volume = np.bincount(piece[faces[:, 0]], (a * np.cross(b, c)).sum(1) / 6)
    kept = faces[(volume >= SMALLEST_PIECE * volume.max())[piece[faces[:, 0]]]]
    used, kept = np.unique(kept, return_inverse=True)
    return vertices[used], kept.reshape(-1, 3)


def simplified(
    vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"], most: int
) -> tuple[Float[Tensor, "W 3"], Int[Tensor, "G 3"]]:
    """The mesh with at most `most` faces, by quadric error metrics (Garland and Heckbert 1997)."""
    if len(faces) > most:
        decimator = export_package("fast_simplification", "fast-simplification")
        vertices, faces = decimator.simplify(vertices, faces.astype(np.int32), target_count=most)
    used, faces = np.unique(faces, return_inverse=True)
    mesh = torch.from_numpy(vertices[used]).float(), torch.from_numpy(faces.reshape(-1, 3)).long()
    assert signed_volume(*mesh) > 0
    return mesh


def signed_volume(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"]) -> float:
    """The volume that a closed mesh encloses; negative if the faces are clockwise seen from outside."""
    a, b, c = vertices.double()[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def _to_body(
    template: BodyTemplate, low: Float[np.ndarray, "3"], size: tuple[int, ...], voxel: float
) -> tuple[Float[np.ndarray, "X Y Z"], Bool[np.ndarray, "X Y Z"]]:
    """Distance (m) of each node from the body's surface, up to a voxel, and whether it lies inside."""
    a, b, c = template.canonical_vertices.cpu()[template.faces.cpu()].numpy().transpose(1, 0, 2)
    longest = max(np.linalg.norm(x - y, axis=1).max() for x, y in ((a, b), (b, c), (c, a)))
    splits = int(np.ceil(longest / (0.7 * voxel)))  # so fine that no way leads through between the places
    empty = np.ones(size, bool)
    for i in range(splits + 1):
        for j in range(splits + 1 - i):
            places = (i * a + j * b + (splits - i - j) * c) / splits
            empty[tuple(((places - low) / voxel).round().astype(int).T)] = False
    pieces = labelled(empty)
    inside = empty & (pieces != pieces[0, 0, 0])
    return np.asarray(ndimage.distance_transform_edt(empty), np.float32) * voxel, inside
