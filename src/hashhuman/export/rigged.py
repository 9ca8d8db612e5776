"""A rigged, textured mesh: what every format that shows the avatar is written from."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from hashhuman.avatar.protocol import VolumetricAvatar
from hashhuman.body.surface import vertex_normals
from hashhuman.errors import UserError
from hashhuman.export import atlas as atlases
from hashhuman.export import skin as skins
from hashhuman.export.motion import Motion, Skeleton
from hashhuman.export.skin import Skin
from hashhuman.export.surface import SurfaceExtraction
from hashhuman.export.texture import Baking
from hashhuman.export.views import filmed_views, turned_views


@dataclasses.dataclass(frozen=True)
class RiggedMesh:
    """A mesh at rest with a texture and a skin: metres, y up, facing +z, the soles at y = 0."""

    vertices: Float[np.ndarray, "V 3"]  # float32; those on the texture's cuts are doubled
    normals: Float[np.ndarray, "V 3"]  # outward, unit
    uv: Float[np.ndarray, "V 2"]  # v goes down from the texture's first row
    faces: Int[np.ndarray, "F 3"]  # counter-clockwise seen from outside
    texture: UInt8[np.ndarray, "height width 3"]  # sRGB, lit as filmed
    skin: Skin
    skeleton: Skeleton
    level: float  # the density (1/m) at which the surface was cut

    def posed(self, motion: Motion, index: int) -> Float[np.ndarray, "V 3"]:
        """The vertices in a frame of a motion (m), by linear blend skinning."""
        return skins.posed(self.vertices, self.skin, self.skeleton, motion.transforms(self.skeleton)[index])


class Rigging:
    """Makes the rigged mesh of a run.

    Args:
        surface: finds the surface.
        baking: bakes its texture.
        neighbors, smoothness: how weights are carried over; see `skin.carried_over`.
    """

    def __init__(self, surface: SurfaceExtraction, baking: Baking, neighbors: int, smoothness: float) -> None:
        self.surface, self.baking, self.neighbors, self.smoothness = surface, baking, neighbors, smoothness

    def __call__(self, avatar: Any, datamodule: Any) -> RiggedMesh:
        """The mesh of an avatar in evaluation mode; `datamodule` is its run's `SubjectDataModule`.

        Raises:
            UserError: if the avatar has no density, or is empty.
        """
        require_density(avatar)
        print("making the avatar's mesh: a minute or two without a GPU", flush=True)
        template = datamodule.subject.template()
        surface = self.surface(avatar, template)
        skin = skins.carried_over(surface, template, self.neighbors, self.smoothness)
        rest = skins.at_rest(surface.vertices, skin, template)
        normals = vertex_normals(rest, surface.faces)
        normals = normals / normals.norm(dim=1, keepdim=True).clamp_min(1e-12)
        atlas = atlases.unwrap(rest, surface.faces, self.baking.texel)
        views = filmed_views(avatar, datamodule, self.baking.views)
        views += turned_views(views[0], template, self.baking.turned, self.baking.faint)
        texture = self.baking(avatar, template, views, atlas, rest, normals, skin)
        skeleton, source = Skeleton.of(template), atlas.source
        return RiggedMesh(
            vertices=(rest.numpy() + skeleton.offset)[source].astype(np.float32),
            normals=normals.numpy()[source],
            uv=atlas.uv,
            faces=atlas.faces,
            texture=texture,
            skin=Skin(skin.joints[source], skin.weights[source]),
            skeleton=skeleton,
            level=surface.level,
        )


def require_density(avatar: Any) -> None:
    """Raises UserError if an avatar cannot be asked for its density."""
    if not isinstance(avatar, VolumetricAvatar):
        raise UserError(
            f"{type(avatar).__name__} has no methods `scene` and `query` that tell its density, so no mesh can be made "
            "of it: src/hashhuman/avatar/protocol.py describes them (`VolumetricAvatar`)."
        )
