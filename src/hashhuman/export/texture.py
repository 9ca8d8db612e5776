"""The texture of a surface: the field's colours, lit as the person was filmed."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hashhuman.avatar.protocol import VolumetricAvatar
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.export import atlas as atlases
from hashhuman.export.atlas import Atlas
from hashhuman.export.skin import Skin
from hashhuman.geometry import skinning

TEXELS = 1 << 13  # at a time; bounds the memory
CLEAR = 0.02  # a texel whose ray meets less takes the colour of its neighbours
FAINT = 0.3  # frames with less than this share of the largest weight are left out


@dataclasses.dataclass(frozen=True)
class FilmedView:
    """A pose of the person and the place that a camera filmed it from."""

    pose: BodyPose
    time: int  # index among the training frames
    eye: Float[Tensor, "3"]  # the camera's centre (m, world)


class Baking:
    """Bakes the colours of the field.

    The colour of a texel is not the field's at one point, which may lie before or behind what the pictures show: it
    is what a short ray sees that goes from outside inward along the normal.

    The field's colours contain light that is fixed in the world, so they change as the body turns. So each texel is
    carried into several training frames and takes their colours' mean. Frames in which it faces the camera count more.

    Args:
        texel: side of a texel on the surface (m).
        outside, inside: where rays begin before the surface, and end behind it (m).
        step: distance between the samples of a ray (m).
        views: number of training frames, evenly spaced.
        facing: how much more a frame counts in which the texel faces the camera: its weight is exp(facing c) for the
            cosine c between the normal and the direction to the camera.
    """

    def __init__(self, texel: float, outside: float, inside: float, step: float, views: int, facing: float) -> None:
        self.texel, self.outside, self.inside, self.step = texel, outside, inside, step
        self.views, self.facing = views, facing

    @torch.no_grad()
    def __call__(
        self,
        avatar: VolumetricAvatar,
        template: BodyTemplate,
        views: Sequence[FilmedView],
        atlas: Atlas,
        rest: Float[Tensor, "V 3"],
        normals: Float[Tensor, "V 3"],
        skin: Skin,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The texture of a mesh.

        Args:
            avatar: whose colours.
            template: its body.
            views: the training frames to light by.
            atlas: the mesh's atlas.
            rest: the mesh's vertices at rest (m), before they were doubled.
            normals: outward unit normals at rest.
            skin: weights of the vertices.
        """
        texels = atlases.rasterize(atlas)
        corners = torch.from_numpy(atlas.source[atlas.faces[texels.face]])
        weights = torch.from_numpy(texels.weights).float()
        bones = template.bone_transforms(torch.stack([view.pose.body_pose for view in views])).cpu()
        posed = [_Posed.of(view, rest, normals, skin.dense(bones.shape[1]), some) for view, some in zip(views, bones)]
        scene = avatar.scene([view.pose for view in views], [view.time for view in views])
        colors = [
            self._colors(avatar, scene, posed, corner, weight)
            for corner, weight in zip(corners.split(TEXELS), weights.split(TEXELS))
        ]
        seen = np.zeros((*atlas.size, 4), np.float32)
        seen[texels.covered] = torch.cat(colors).numpy()
        texture, known = seen[..., :3] / seen[..., 3:].clip(1e-6), seen[..., 3] > CLEAR
        return np.rint(255 * atlases.spread(texture, known).clip(0, 1)).astype(np.uint8)

    def _colors(self, avatar, scene, posed: "Sequence[_Posed]", corners: Tensor, weights: Tensor) -> Tensor:
        """What is seen at some texels: premultiplied colour and opacity (T 4)."""
        places = torch.stack([_mixed(view.vertices[corners], weights) for view in posed])  # views T 3
        normals = torch.stack([_unit(_mixed(view.normals[corners], weights)) for view in posed])
        eyes = torch.stack([view.eye for view in posed])
        cosine = (_unit(eyes[:, None] - places) * normals).sum(-1)
        share = torch.softmax(self.facing * cosine, 0)
        share = torch.where(share >= FAINT * share.amax(0), share, 0)
        view, texel = share.nonzero().unbind(1)
        seen = self._rays(avatar, scene, places[view, texel], normals[view, texel], view)
        return torch.zeros(len(corners), 4).index_add(0, texel, share[view, texel, None] * seen)

    def _rays(self, avatar, scene, places: Tensor, normals: Tensor, view: Tensor) -> Tensor:
        """What the rays see: premultiplied colour and opacity (N 4), on the CPU."""
        count = max(round((self.outside + self.inside) / self.step), 1)
        along = self.outside - self.step * (torch.arange(count) + 0.5)
        samples = places[:, None] + along[:, None] * normals[:, None]
        directions, frames = (-normals)[:, None].expand_as(samples), view[:, None].expand(-1, count)
        device = avatar.device
        color, density = avatar.query(
            samples.flatten(0, 1).to(device),
            scene,
            directions.flatten(0, 1).to(device),
            frames.flatten().to(device),
        )
        optical = density.view(-1, count) * self.step
        before = optical.cumsum(1) - optical
        weight = torch.exp(-before) * -torch.expm1(-optical)
        color = (weight[..., None] * color.view(-1, count, 3)).sum(1)
        return torch.cat([color, weight.sum(1, keepdim=True)], 1).cpu()


@dataclasses.dataclass(frozen=True)
class _Posed:
    vertices: Tensor  # V 3 (m, world)
    normals: Tensor  # V 3
    eye: Tensor  # 3

    @classmethod
    def of(cls, view: FilmedView, rest: Tensor, normals: Tensor, weights: Tensor, bones: Tensor) -> "_Posed":
        maps = view.pose.to("cpu").world_from_posed() @ skinning.blend(weights, bones)
        turned = (maps[:, :3, :3] @ normals[..., None])[..., 0]  # skinning hardly shears, so the inverse is not needed
        return cls(skinning.transform(maps, rest), turned, view.eye.cpu())


def _mixed(values: Tensor, weights: Tensor) -> Tensor:
    return (weights[..., None] * values).sum(-2)


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
