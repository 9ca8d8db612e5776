"""What a picture can show: one function for each output, from a rendered picture to 8-bit RGB."""

import dataclasses
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from hashhuman.avatar.images import RenderedImage
from hashhuman.avatar.protocol import VolumetricAvatar
from hashhuman.body.nearest import nearest
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.evaluation.drawing import error_map, to_uint8
from hashhuman.geometry.camera import Camera

PAPER = 255
SEEN = 0.5  # opacity from which a pixel counts as the person's
DENSEST = 1000.0  # 1/m, at the top of the colour scale of `density`
NEAR = 0.02  # m: as near must the camera be to the filming one for `error`
PART_COLORS = np.array(
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0], [204, 121, 167], [0, 114, 178], [240, 228, 66]],
    np.uint8,
)  # of Okabe and Ito, which colour-blind people can tell apart


@dataclasses.dataclass(frozen=True)
class Filmed:
    """A filmed frame: the truth that pictures from the same camera are compared with."""

    rgb: Float[Tensor, "h w 3"]  # the person on black, in [0, 1]
    mask: Float[Tensor, "h w"]
    camera: Camera


@dataclasses.dataclass(frozen=True)
class RenderedView:
    """A rendered picture with what outputs ask for besides."""

    image: RenderedImage
    camera: Camera
    pose: BodyPose
    avatar: Any
    template: BodyTemplate
    filmed: Filmed | None  # the frame whose pose this is; None: the pose was not filmed
    background: float  # behind the person, in [0, 1]

    @property
    def seen(self) -> np.ndarray:
        """Which pixels show the person."""
        return (self.image.alpha > SEEN).cpu().numpy()


Output = Callable[[RenderedView], UInt8[np.ndarray, "H W 3"]]


def colour(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """What the field looks like."""
    return to_uint8(rendered.image.rgb)


def depth(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """Distance along the ray, from the nearest visible place (bright) to the farthest (dark)."""
    seen, metres = rendered.seen, rendered.image.depth.cpu().numpy()
    if not seen.any():
        return _blank(rendered)
    low, high = np.percentile(metres[seen], [1, 99])
    near = 1 - (metres - low) / max(float(high - low), 1e-6) * 0.85
    return _on_paper(_colored(near.clip(0, 1)), seen)


def normals(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """Directions of the surface in the camera's axes, found from the depth of neighbouring pixels.

    Red grows to the right, green upwards, blue towards the camera.
    """
    places = _places(rendered)
    if min(places.shape[:2]) < 3:
        return _blank(rendered)
    across = torch.zeros_like(places)
    down = torch.zeros_like(places)
    across[:, 1:-1] = places[:, 2:] - places[:, :-2]
    down[1:-1] = places[2:] - places[:-2]
    normal = torch.linalg.cross(down, across) @ rendered.camera.R.to(places.device).T  # towards the camera
    normal = normal / normal.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    sign = normal.new_tensor([1.0, -1.0, -1.0])
    return _on_paper(to_uint8((normal * sign + 1) / 2), rendered.seen)


def parts(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """The part of the field to which each visible place belongs: that of the nearest body point."""
    seen = rendered.image.alpha > SEEN
    if not bool(seen.any()):
        return _blank(rendered)
    body = rendered.avatar.template
    vertices = world_vertices(body.to(rendered.avatar.device), rendered.pose.to(rendered.avatar.device))
    part = torch.zeros(len(vertices), dtype=torch.long, device=vertices.device)
    for index, points in enumerate(rendered.avatar.part_points):
        part[points.to(part.device)] = index
    _, closest = nearest(_places(rendered)[seen], vertices, 1)
    drawn = np.full((*seen.shape, 3), PAPER, np.uint8)
    color = PART_COLORS[part[closest[:, 0]].cpu().numpy() % len(PART_COLORS)]
    shade = 0.55 + 0.45 * rendered.image.rgb[seen].mean(-1, keepdim=True).cpu().numpy()
    drawn[seen.cpu().numpy()] = (color * shade).astype(np.uint8)
    return drawn


def density(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """The field's density in the plane through the body that is parallel to the picture, on a logarithmic scale."""
    pose, device = rendered.pose.to(rendered.avatar.device), rendered.avatar.device
    camera = rendered.camera.to(device)
    middle = camera.project(world_vertices(rendered.template.to(device), pose))[:, 2].median()
    directions = _directions(rendered)
    along = directions @ camera.R[2]
    positions = camera.center + directions * (middle / along)[..., None]
    scene = rendered.avatar.scene([pose])
    found = rendered.avatar.query(positions.flatten(0, 1), scene, directions.flatten(0, 1))[1]
    scale = torch.log1p(found.clamp_min(0)) / np.log1p(DENSEST)
    return _colored(scale.clamp(0, 1).reshape(rendered.image.alpha.shape).cpu().numpy())


def error(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    """The mean absolute error against the filmed frame, as evaluation draws it; the camera must be the filming one.

    The frame is turned and scaled to the canvas, which from the same place is exact. Where it ends, paper is shown.
    """
    if not comparable(rendered):
        return _blank(rendered)
    assert rendered.filmed is not None
    truth, known = seen_from(rendered.filmed, rendered.camera, rendered.background)
    drawn = error_map(to_uint8(rendered.image.rgb), truth)
    drawn[~known] = PAPER
    return drawn


OUTPUTS: dict[str, Output] = {
    "colour": colour, "depth": depth, "normals": normals, "parts": parts, "density": density, "error": error,
}  # fmt: skip


def offered(avatar: Any) -> list[str]:
    """The outputs that an avatar has."""
    lacking = set()
    if not isinstance(avatar, VolumetricAvatar):
        lacking.add("density")
    if not hasattr(avatar, "part_points"):
        lacking.add("parts")
    return [name for name in OUTPUTS if name not in lacking]


def comparable(rendered: RenderedView) -> bool:
    """Whether a filmed frame of this pose exists, and the camera stands where it was filmed from."""
    if rendered.filmed is None:
        return False
    return float((rendered.filmed.camera.center.cpu() - rendered.camera.center.cpu()).norm()) < NEAR


def seen_from(filmed: Filmed, camera: Camera, background: float) -> tuple[UInt8[np.ndarray, "H W 3"], np.ndarray]:
    """A filmed frame as a camera at the same place sees it, over a grey level; and which pixels it reaches."""
    there = filmed.camera.K @ filmed.camera.R @ camera.R.cpu().T @ torch.linalg.inv(camera.K.cpu())
    warp = there.double().numpy()
    over = filmed.rgb + (1 - filmed.mask[..., None]) * background
    size, flags = (camera.width, camera.height), cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    truth = cv2.warpPerspective(to_uint8(over), warp, size, flags=flags)
    known = cv2.warpPerspective(np.ones(filmed.mask.shape, np.uint8), warp, size, flags=cv2.WARP_INVERSE_MAP)
    return truth, known > 0


def _directions(rendered: RenderedView) -> Float[Tensor, "H W 3"]:
    camera, device = rendered.camera, rendered.image.alpha.device
    x, y = torch.arange(camera.width, device=device), torch.arange(camera.height, device=device)
    return camera.to(device).rays(torch.stack(torch.meshgrid(x.float(), y.float(), indexing="xy"), -1))[1]


def _places(rendered: RenderedView) -> Float[Tensor, "H W 3"]:
    """Where each pixel's ray meets the surface (m, world)."""
    depth = rendered.image.depth
    return rendered.camera.center.to(depth.device) + _directions(rendered) * depth[..., None]


def _blank(rendered: RenderedView) -> UInt8[np.ndarray, "H W 3"]:
    return np.full((*rendered.image.alpha.shape, 3), PAPER, np.uint8)


def _on_paper(drawn: np.ndarray, seen: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    return np.where(seen[..., None], drawn, np.uint8(PAPER))


def _colored(values: np.ndarray) -> UInt8[np.ndarray, "H W 3"]:
    levels = (values * 255).round().astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
