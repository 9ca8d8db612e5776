"""What the browser draws while something moves: the rigged mesh, in pieces of one colour each.

viser draws no texture on a mesh that is deformed, so faces are sorted into a few colours, and each colour is a mesh of
its own. It is deformed here, not in the browser: viser sends each bone in a message of its own, and the four largest
weights of a vertex as they are, so that a body whose weights do not sum to one would shrink.
"""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from hashhuman.errors import UserError
from hashhuman.export.exporter import Exporter
from hashhuman.export.motion import Motion, Skeleton
from hashhuman.export.packages import require_mesh_packages
from hashhuman.export.rigged import RiggedMesh
from hashhuman.export.skin import Skin, posed, strongest
from hashhuman.io import files

GREY = (150, 150, 158)  # of a body without an avatar's surface


@dataclasses.dataclass(frozen=True)
class Piece:
    """The faces of one colour."""

    vertices: Int[np.ndarray, "W"]  # which of the mesh's vertices they use
    faces: Int[np.ndarray, "F 3"]  # of these, in their order
    color: tuple[int, int, int]  # sRGB


@dataclasses.dataclass(frozen=True)
class ViewMesh:
    """A mesh at rest, in the space of `RiggedMesh`, with one of a few colours a face."""

    vertices: Float[np.ndarray, "V 3"]  # float32, metres
    faces: Int[np.ndarray, "F 3"]
    colors: UInt8[np.ndarray, "C 3"]  # sRGB, lit as filmed
    color_of: Int[np.ndarray, "F"]  # which colour each face has
    skin: Skin

    def pieces(self) -> list[Piece]:
        """The mesh, sorted by colour. Colours without a face are left out."""
        made = []
        for index, color in enumerate(self.colors):
            faces = self.faces[self.color_of == index]
            if len(faces):
                used, renamed = np.unique(faces, return_inverse=True)
                made.append(Piece(used, renamed.reshape(-1, 3), (int(color[0]), int(color[1]), int(color[2]))))
        return made

    def posed(self, motion: Motion, skeleton: Skeleton) -> Float[np.ndarray, "V 3"]:
        """The vertices in the first frame of a motion (float32, metres)."""
        return posed(self.vertices, self.skin, skeleton, motion.transforms(skeleton)[0]).astype(np.float32)


class AvatarMesh:
    """The avatar's own surface, as `python -m hashhuman.export` makes it. It takes a minute, so it is kept in a file.

    Args:
        exporter: its rigging makes the mesh.
        colors: the most colours; more look smoother, and are more work for the browser.
    """

    def __init__(self, exporter: Exporter, colors: int) -> None:
        self.exporter, self.colors = exporter, colors

    @staticmethod
    def require() -> None:
        """Raises UserError if a package that makes meshes is missing."""
        require_mesh_packages()

    def __call__(self, avatar: Any, datamodule: Any, file: "MeshFile | None" = None) -> ViewMesh:
        """The mesh of an avatar in evaluation mode, from `file` if it is there. Raises UserError as `Rigging` does."""
        mesh = None if file is None else file.read()
        if mesh is None:
            with torch.no_grad():
                mesh = reduced(self.exporter.rigging(avatar, datamodule), self.colors)
            if file is not None:
                try:
                    file.write(mesh)
                except UserError as error:  # such as in somebody else's run, which can be looked at all the same
                    print(f"The mesh is shown, but not kept: {error}", flush=True)
        return mesh


class BodyMesh:
    """The fitted body in grey, which is there at once."""

    def __call__(self, avatar: Any, datamodule: Any, file: "MeshFile | None" = None) -> ViewMesh:
        """The body of a data module."""
        template = datamodule.subject.template()
        rest = template.vertices.cpu().double().numpy() + Skeleton.of(template).offset
        joints, weights = strongest(template.lbs_weights.cpu().double().numpy())
        faces = template.faces.cpu().numpy()
        grey = np.array([GREY], np.uint8)
        return ViewMesh(rest.astype(np.float32), faces, grey, np.zeros(len(faces), int), Skin(joints, weights))


def reduced(mesh: RiggedMesh, colors: int) -> ViewMesh:
    """A textured mesh with `colors` colours at most: each face gets the one nearest to the texture at its centre."""
    height, width = mesh.texture.shape[:2]
    place = (mesh.uv[mesh.faces].mean(1) * [width, height]).astype(int).clip(0, [width - 1, height - 1])
    found = mesh.texture[place[:, 1], place[:, 0]].astype(np.float32)
    cv2.setRNGSeed(0)  # the same mesh gets the same colours
    stop = (cv2.TERM_CRITERIA_MAX_ITER, 20, 0.0)
    count = min(colors, len(found))
    _, label, centers = cv2.kmeans(found, count, np.empty(0), stop, 1, cv2.KMEANS_PP_CENTERS)
    return ViewMesh(mesh.vertices, mesh.faces, np.rint(centers).astype(np.uint8), label[:, 0].astype(int), mesh.skin)


@dataclasses.dataclass(frozen=True)
class MeshFile:
    """A file that keeps a mesh as long as it is made of the same things."""

    path: Path
    made_of: str  # the weights and the settings
    n_joints: int  # of the skeleton that moves it

    def read(self) -> ViewMesh | None:
        """The mesh; None if there is none, or it was made of something else. Raises UserError for a damaged file."""
        if not self.path.is_file():
            return None
        arrays = files.load_npz(self.path)
        return _checked(self.path, arrays, self.n_joints) if str(arrays.get("made_of")) == self.made_of else None

    def write(self, mesh: ViewMesh) -> None:
        """Keeps a mesh. Raises UserError if the file cannot be written."""
        arrays = {field: getattr(mesh, field) for field in ("vertices", "faces", "colors", "color_of")}
        skin = {"joints": mesh.skin.joints, "weights": mesh.skin.weights}
        files.save_npz(self.path, arrays | skin | {"made_of": np.array(self.made_of)})


def _checked(path: Path, arrays: dict[str, np.ndarray], n_joints: int) -> ViewMesh:
    """A mesh read from a file, which may come from anybody."""
    try:
        skin = Skin(arrays["joints"], arrays["weights"])
        mesh = ViewMesh(arrays["vertices"], arrays["faces"], arrays["colors"], arrays["color_of"], skin)
        count = len(mesh.vertices)
        whole = mesh.vertices.shape == (count, 3) and skin.joints.shape == skin.weights.shape == (count, 4)
        whole &= mesh.faces.ndim == 2 and mesh.faces.shape[1] == 3 and mesh.color_of.shape == (len(mesh.faces),)
        whole &= mesh.colors.shape == (len(mesh.colors), 3) and mesh.colors.dtype == np.uint8
        whole &= all(values.dtype.kind in "iu" for values in (mesh.faces, mesh.color_of, skin.joints))
        indices = (mesh.faces, count), (mesh.color_of, len(mesh.colors)), (skin.joints, n_joints)
        inside = all(values.min() >= 0 and values.max() < end for values, end in indices)
        if whole and inside and np.isfinite(mesh.vertices).all() and np.isfinite(skin.weights).all():
            return mesh
    except (KeyError, ValueError, TypeError, IndexError):
        pass
    raise UserError(f"{path} does not hold a mesh of the viewer: delete it, and it is made again.")
