"""A texture atlas: where each triangle lies in the texture, and which place of the surface each texel shows."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

from hashhuman.errors import UserError
from hashhuman.export.packages import export_package
from hashhuman.export.surface import pieces

PADDING = 4  # texels between charts, so that smaller versions of the texture do not mix them


@dataclasses.dataclass(frozen=True)
class Atlas:
    """A mesh cut into charts. Vertices on cuts are doubled."""

    source: Int[np.ndarray, "W"]  # the mesh's vertex that each of the W vertices was
    faces: Int[np.ndarray, "F 3"]  # of the W vertices, in the mesh's order
    uv: Float[np.ndarray, "W 2"]  # in [0, 1]; v goes down from the texture's first row, as in glTF
    size: tuple[int, int]  # height and width of the texture (texels)


@dataclasses.dataclass(frozen=True)
class Texels:
    """The texels that charts cover."""

    covered: Bool[np.ndarray, "height width"]
    face: Int[np.ndarray, "T"]  # of each covered texel, in row-major order
    weights: Float[np.ndarray, "T 3"]  # barycentric, of the face's vertices


def unwrap(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], texel: float) -> Atlas:
    """Cuts a mesh (m) into charts whose texels have sides of about `texel` (m) and packs them into a texture.

    No chart is mirrored: xatlas may not turn them, since it mirrors many of those that it turns, and the few that it
    mirrors all the same are turned back.

    Raises:
        UserError: if the mesh has degenerate faces only.
    """
    xatlas = export_package("xatlas")
    atlas, packing = xatlas.Atlas(), xatlas.PackOptions()
    packing.texels_per_unit, packing.padding, packing.bilinear = 1 / texel, PADDING, True
    packing.rotate_charts = packing.rotate_charts_to_axis = False
    atlas.add_mesh(vertices.numpy(), faces.numpy().astype(np.uint32))
    atlas.generate(pack_options=packing)
    if not atlas.width:
        raise UserError("The surface has no area, so no texture can be laid on it: train the avatar for longer.")
    source, cut, uv = atlas[0]
    cut = cut.astype(np.int64)
    side = 1 << max(round(np.log2(max(atlas.height, atlas.width))), 4)  # the nearest size that old devices repeat, too
    return Atlas(source.astype(np.int64), cut, unmirrored(uv, cut), (side, side))


def signed_areas(uv: Float[np.ndarray, "W 2"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F"]:
    """Areas of the faces in the texture; negative for those that are mirrored."""
    a, b, c = uv.astype(float)[faces].transpose(1, 2, 0)
    return ((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0]) / 2


def unmirrored(uv: Float[np.ndarray, "W 2"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "W 2"]:
    """Flips each chart whose faces are mirrored, in place of its bounding box, so that no area is negative."""
    count, chart = pieces(faces, len(uv))
    mirrored = (np.bincount(chart[faces[:, 0]], signed_areas(uv, faces), count) < 0)[chart]
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, chart, uv[:, 0])
    np.maximum.at(high, chart, uv[:, 0])
    return np.stack([np.where(mirrored, (low + high)[chart] - uv[:, 0], uv[:, 0]), uv[:, 1]], 1).astype(np.float32)


def rasterize(atlas: Atlas) -> Texels:
    """Finds the face that each texel's centre lies in. Texels in none are not covered."""
    height, width = atlas.size
    corners = atlas.uv[atlas.faces].astype(float) * [width, height] - 0.5  # F 3 2, centres at integers
    low = np.ceil(corners.min(1)).astype(int).clip(0)
    high = np.floor(corners.max(1)).astype(int).clip(max=[width - 1, height - 1])
    sides = (high - low + 1).clip(0)
    count = sides.prod(1)
    face = np.repeat(np.arange(len(count)), count)
    index = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
    x, y = low[face, 0] + index % sides[face, 0].clip(1), low[face, 1] + index // sides[face, 0].clip(1)
    weights = _barycentric(corners[face], np.stack([x, y], 1))
    inside = (weights >= -1e-9).all(1)
    owner = np.full(height * width, -1)
    owner[(y * width + x)[inside]] = np.flatnonzero(inside)
    chosen = owner[owner >= 0]
    return Texels((owner >= 0).reshape(height, width), face[chosen], weights[chosen].clip(0))


def spread(texture: Float[np.ndarray, "height width 3"], covered: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """Gives texels that are not covered the colour of the nearest one that is. Black if none is."""
    if not covered.any():
        return np.zeros_like(texture)
    row, column = np.asarray(ndimage.distance_transform_edt(~covered, return_distances=False, return_indices=True))
    return texture[row, column]


def _barycentric(corners: Float[np.ndarray, "N 3 2"], places: Int[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 3"]:
    """Barycentric weights of places in triangles; -1 in triangles without area."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    px, py = (places - corners[:, 0]).T
    area = ax * by - ay * bx
    safe = np.where(area == 0, 1, area)
    second, third = (px * by - py * bx) / safe, (ax * py - ay * px) / safe
    weights = np.stack([1 - second - third, second, third], 1)
    return np.where(area[:, None] == 0, -1.0, weights)
