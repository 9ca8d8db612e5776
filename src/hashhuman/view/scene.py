"""The mesh and the field's pictures in one browser tab."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from hashhuman.view.mesh import ViewMesh

AMBIENT = 2.7  # intensity at which viser's material and its tone mapping show a colour of middle brightness as it is
QUALITY = 90  # of JPEG pictures


class Scene:
    """One tab's scene: either the mesh or a picture of the field is visible.

    Nothing is removed while the tab is open: what is not shown is hidden, so that it is there when it is needed.

    Args:
        client: viser's `ClientHandle`.
        mesh: what moves.
    """

    def __init__(self, client: Any, mesh: ViewMesh) -> None:
        self.client, self.pieces = client, mesh.pieces()
        scene = client.scene
        scene.configure_default_lights(False, False)
        scene.configure_environment_map(None)
        scene.add_light_ambient("/light", intensity=AMBIENT)
        self.handles = [
            scene.add_mesh_simple(
                f"/person/{index}", mesh.vertices[piece.vertices], piece.faces, color=piece.color, cast_shadow=False,
                receive_shadow=False, visible=False,
            )
            for index, piece in enumerate(self.pieces)
        ]  # fmt: skip
        self.picture_shown = self.mesh_shown = False

    def pose(self, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Moves the mesh's vertices (m)."""
        with self.client.atomic():
            for handle, piece in zip(self.handles, self.pieces):
                handle.vertices = vertices[piece.vertices]

    def show_mesh(self) -> None:
        """Shows the mesh, and no picture. It is called at each move of the camera, and then sends nothing."""
        if self.mesh_shown and not self.picture_shown:
            return
        with self.client.atomic():
            if self.picture_shown:
                self.client.scene.set_background_image(None)
            self._set_mesh(True)
        self.picture_shown = False

    def show_picture(self, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Shows a picture of the canvas's proportions, enlarged to it, and no mesh."""
        with self.client.atomic():
            self.client.scene.set_background_image(picture, format="jpeg", jpeg_quality=QUALITY)
            self._set_mesh(False)
        self.picture_shown = True

    def _set_mesh(self, visible: bool) -> None:
        if visible != self.mesh_shown:
            for handle in self.handles:
                handle.visible = visible
            self.mesh_shown = visible
