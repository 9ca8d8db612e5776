"""The texture of a surface: what the field's own pictures show of it, lit as the person was filmed."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn import functional

from hashhuman.body.template import BodyTemplate
from hashhuman.export import atlas as atlases
from hashhuman.export.atlas import Atlas
from hashhuman.export.skin import Skin
from hashhuman.export.views import BakedView
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io.progress import track

SOLID = 0.5  # opacity from which a pixel shows the person
CELL = 2.0  # pixels along a side of a cell of the depth buffer: wide enough that texels leave no hole in it
NEAREST = 0.1  # m: a camera nearer to the body than this is left out


@dataclasses.dataclass(frozen=True)
class Places:
    """Places on the faces of a mesh, each between three vertices."""

    corners: Int[Tensor, "T 3"]
    weights: Float[Tensor, "T 3"]  # barycentric

    @classmethod
    def of(cls, atlas: Atlas, texels: atlases.Texels) -> "Places":
        """The centres of an atlas's texels, on the mesh before its vertices were doubled."""
        corners = torch.from_numpy(atlas.source[atlas.faces[texels.face]])
        return cls(corners, torch.from_numpy(texels.weights).float())

    def mixed(self, values: Float[Tensor, "V 3"]) -> Float[Tensor, "T 3"]:
        """The vertices' values there."""
        return (self.weights[..., None] * values[self.corners]).sum(-2)


class Baking:
    """Bakes the colours of the field.

    The colour of a place is no property of the field at that place: a fog lets light through from far behind its
    surface. So the field is rendered as for any picture, and each texel takes the colours of the pixels that show it.

    The field's colours contain light that is fixed in the world, so they change as the body turns. A texel takes the
    mean of the pictures that show it; each counts as many pixels as the texel covers in it, which makes the mean the
    colour with the least squared error.

    Args:
        texel: side of a texel on the surface (m).
        views: number of training frames, evenly spaced.
        turned: number of pictures of the body turned before the camera, for what no frame shows.
        faint: how much a turned picture counts beside a filmed one.
        margin: how far the surface may lie outside its vertices in a picture (m).
        tolerance: how far behind the nearest surface a texel still counts as visible (m).
    """

    def __init__(self, texel: float, views: int, turned: int, faint: float, margin: float, tolerance: float) -> None:
        self.texel, self.views, self.turned, self.faint = texel, views, turned, faint
        self.margin, self.tolerance = margin, tolerance

    @torch.no_grad()
    def __call__(
        self,
        avatar: Any,
        template: BodyTemplate,
        views: Sequence[BakedView],
        atlas: Atlas,
        rest: Float[Tensor, "V 3"],
        normals: Float[Tensor, "V 3"],
        skin: Skin,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The texture of a mesh.

        Args:
            avatar: whose colours; of `hashhuman.avatar.protocol.Avatar`, it needs `device` and `render_image`.
            template: its body.
            views: poses and cameras to render.
            atlas: the mesh's atlas.
            rest: the mesh's vertices at rest (m), before they were doubled.
            normals: outward unit normals at rest.
            skin: weights of the vertices.
        """
        texels = atlases.rasterize(atlas)
        places, weights = Places.of(atlas, texels), skin.dense(len(template.joints))
        seen = torch.zeros(len(places.corners), 4)
        for view in track(views, "texture", unit="pictures"):
            bones = template.bone_transforms(view.pose.to(template.joints.device).body_pose).cpu()
            maps = view.pose.to("cpu").world_from_posed() @ skinning.blend(weights, bones)
            turned = (maps[:, :3, :3] @ normals[..., None])[..., 0]  # skinning hardly shears: no inverse is needed
            seen += view.share * self._seen(avatar, view, places, skinning.transform(maps, rest), turned)
        colors = completed(seen[:, :3], seen[:, 3], places.mixed(rest))
        texture = np.zeros((*atlas.size, 3), np.float32)
        texture[texels.covered] = colors.numpy()
        return np.rint(255 * atlases.spread(texture, texels.covered).clip(0, 1)).astype(np.uint8)

    def _seen(
        self,
        avatar: Any,
        view: BakedView,
        places: Places,
        vertices: Float[Tensor, "V 3"],
        normals: Float[Tensor, "V 3"],
    ) -> Float[Tensor, "T 4"]:
        """What one picture shows of the places: their colours times their weights, and their weights."""
        camera = window(view.camera.to("cpu"), vertices, self.texel, self.margin)
        if camera is None:
            return torch.zeros(len(places.corners), 4)
        image = avatar.render_image(camera.to(avatar.device), view.pose.to(avatar.device), view.time)
        picture = torch.cat([image.rgb, image.alpha[..., None]], -1).cpu()
        positions, towards = places.mixed(vertices), _unit(places.mixed(normals))
        cosine = (_unit(camera.center - positions) * towards).sum(-1)
        projected = camera.project(positions)
        found = sampled(picture, projected[:, :2])
        shown = visible(projected, self.tolerance) & (found[:, 3] > SOLID) & (cosine > 0)
        weight = cosine * shown
        return torch.cat([weight[:, None] * found[:, :3] / found[:, 3:].clamp_min(SOLID), weight[:, None]], 1)


def window(camera: Camera, points: Float[Tensor, "N 3"], pixel: float, margin: float) -> Camera | None:
    """A camera at the same place that shows the points (m, world) and little else.

    Args:
        camera: its size does not matter, and the points may lie outside its picture.
        points: what is to be seen.
        pixel: least side of a pixel at the points' mean depth (m); pixels smaller than the camera's show nothing more.
        margin: of the picture around the points (m).

    Returns:
        None if a point is not in front of the camera.
    """
    found = camera.project(points).double()
    depth = found[:, 2]
    if float(depth.min()) < NEAREST:
        return None
    focal = camera.K[:2, :2].diagonal().double()
    reach = margin * focal / depth[:, None]
    low, high = (found[:, :2] - reach).amin(0), (found[:, :2] + reach).amax(0)
    scale = min(float(depth.mean()) / (pixel * float(focal.mean())), 1.0)
    K = camera.K.clone()
    K[:2] *= scale
    K[:2, 2] -= (scale * low).to(K)
    width, height = ((scale * (high - low)).ceil().int() + 1).tolist()
    return Camera(K, camera.R, camera.T, height, width)


def visible(projected: Float[Tensor, "T 3"], tolerance: float) -> Bool[Tensor, "T"]:
    """Which places no other hides, by a depth buffer of the places themselves.

    Args:
        projected: pixels and depth (m) of places that cover a surface densely.
        tolerance: how far behind the nearest of its cell a place is still visible (m).
    """
    column, row = (projected[:, :2] / CELL).round().long().unbind(1)
    column, row = column - column.min(), row - row.min()
    cell = row * (int(column.max()) + 1) + column
    nearest = torch.full((int(cell.max()) + 1,), torch.inf).scatter_reduce(0, cell, projected[:, 2], "amin")
    return projected[:, 2] <= nearest[cell] + tolerance


def sampled(picture: Float[Tensor, "H W C"], pixels: Float[Tensor, "T 2"]) -> Float[Tensor, "T C"]:
    """The picture's values at places x, y between its pixels, whose centres are integers; 0 outside of it."""
    size = pixels.new_tensor([picture.shape[1], picture.shape[0]])
    grid = ((2 * pixels + 1) / size - 1)[None, None]
    return functional.grid_sample(picture.permute(2, 0, 1)[None], grid, align_corners=False)[0, :, 0].T


def completed(
    colors: Float[Tensor, "T 3"], weights: Float[Tensor, "T"], places: Float[Tensor, "T 3"]
) -> Float[Tensor, "T 3"]:
    """Colours of all places: of those that no picture shows, the colour of the nearest one that is shown.

    Args:
        colors: times the weights.
        weights: 0: not seen.
        places: where they are on the surface (m).
    """
    known = weights > 0
    made = colors / weights.clamp_min(1e-12)[:, None]
    if bool(known.any()) and not bool(known.all()):
        _, nearest = KDTree(places[known].numpy()).query(places[~known].numpy())
        made[~known] = made[known][torch.from_numpy(nearest)]
    return made


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
