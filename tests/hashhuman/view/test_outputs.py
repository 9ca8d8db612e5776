"""Each output shows what it says, on the toy, whose shape is known."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.avatar.images import RenderedImage
from hashhuman.body.visibility import world_vertices
from hashhuman.geometry.camera import Camera
from hashhuman.view import outputs
from hashhuman.view.outputs import Filmed, RenderedView
from tests import toy
from tests.hashhuman.export.solid import template
from tests.hashhuman.fakes import FakeAvatar
from tests.hashhuman.view.conftest import PartedAvatar


def plane(distance: float, normal: tuple[float, float, float], size: int = 32) -> RenderedView:
    """A plane before a camera at the origin that looks along z."""
    K = torch.tensor([[40.0, 0, 15.5], [0, 40.0, 15.5], [0, 0, 1]])
    camera = Camera(K, torch.eye(3), torch.zeros(3), size, size)
    x, y = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="xy")
    directions = camera.rays(torch.stack([x, y], -1).float())[1]
    towards = torch.tensor(normal, dtype=torch.float32)
    depth = distance * towards[2] / (directions @ towards)
    image = RenderedImage(torch.full((size, size, 3), 0.5), torch.ones(size, size), depth)
    return RenderedView(image, camera, toy.pose(0), PartedAvatar(), template(), None, 1.0)


def rendered(frame: int = 1, **changes) -> RenderedView:
    """The toy in a filmed pose, from the filming camera, with exact depth."""
    camera, pose, body = toy.camera(0), toy.pose(frame), template()
    vertices = world_vertices(body, pose)
    face = toy.cast(vertices, body.faces, camera)
    picture = FakeAvatar().render_image(camera, pose, None, 1.0)
    a, b, c = vertices[body.faces[torch.from_numpy(face).clamp(min=0)]].unbind(2)
    normal = torch.linalg.cross(b - a, c - a)
    rays_o, rays_d = camera.rays(_pixels(camera))
    depth = ((a - rays_o) * normal).sum(-1) / (rays_d * normal).sum(-1) * torch.from_numpy(face >= 0)
    image = RenderedImage(picture.rgb, picture.alpha, depth)
    return dataclasses.replace(RenderedView(image, camera, pose, PartedAvatar(), body, None, 1.0), **changes)


def _pixels(camera: Camera) -> torch.Tensor:
    x, y = torch.meshgrid(torch.arange(camera.width), torch.arange(camera.height), indexing="xy")
    return torch.stack([x, y], -1).float()


def test_colour_is_the_picture():
    assert np.array_equal(outputs.colour(plane(2.0, (0, 0, -1))), np.full((32, 32, 3), 128))


@pytest.mark.parametrize(
    "normal, color",
    [((0.0, 0.0, -1.0), (128, 128, 255)), ((0.6, 0.0, -0.8), (204, 128, 230)), ((0.0, -0.6, -0.8), (128, 204, 230))],
)
def test_normals_of_a_plane(normal, color):
    inner = outputs.normals(plane(2.0, normal))[2:-2, 2:-2].reshape(-1, 3).astype(int)
    assert np.abs(inner - color).max() <= 2


def test_nearer_is_brighter():
    drawn = outputs.depth(plane(2.0, (0.6, 0.0, -0.8))).astype(int).sum(-1)  # the plane comes nearer to the left
    columns = drawn[:, [2, 12, 22, 30]].mean(0)
    assert (np.diff(columns) < 0).all() or (np.diff(columns) > 0).all()
    depth = plane(2.0, (0.6, 0.0, -0.8)).image.depth[:, [2, 30]].mean(0)
    assert (depth[0] < depth[1]) == bool(columns[0] > columns[-1])


def test_parts_are_those_of_the_boxes():
    toys = rendered()
    rays_o, rays_d = toys.camera.rays(_pixels(toys.camera))
    places = rays_o + rays_d * toys.image.depth[..., None]
    closest = (places[:, :, None] - world_vertices(template(), toys.pose)).norm(dim=-1).argmin(-1).numpy()
    drawn = outputs.parts(toys).astype(float)
    hue = drawn / drawn.max(-1, keepdims=True).clip(1)
    known = outputs.PART_COLORS / outputs.PART_COLORS.max(1, keepdims=True)
    found = np.linalg.norm(hue[:, :, None] - known[None, None], axis=-1).argmin(-1)
    seen = (toys.image.alpha > 0.5).numpy()
    assert (found[seen] == closest[seen] // 8).mean() > 0.99 and len(np.unique(found[seen])) == 5
    assert (drawn[~seen] == 255).all()


def test_density_is_bright_inside_and_black_outside():
    toys = rendered()
    drawn = outputs.density(toys).astype(int).sum(-1)
    silhouette = (toys.image.alpha > 0.5).numpy()
    assert drawn[silhouette].mean() > 5 * drawn[~silhouette].mean() + 50


def filmed(toys: RenderedView) -> Filmed:
    alpha = toys.image.alpha
    return Filmed(toys.image.rgb * alpha[..., None], alpha, toys.camera)


def test_the_error_of_a_perfect_picture_is_black_and_grows():
    toys = rendered()
    perfect = dataclasses.replace(toys, filmed=filmed(toys))
    assert outputs.comparable(perfect) and outputs.error(perfect).max() <= 4
    worse = dataclasses.replace(perfect, image=dataclasses.replace(toys.image, rgb=(toys.image.rgb - 0.2).clamp(0, 1)))
    assert outputs.error(worse).astype(int).sum(-1).min() > 100


def test_the_error_is_known_from_the_filming_place_alone():
    toys = rendered()
    moved = dataclasses.replace(toys.camera, T=toys.camera.T + 0.1)
    assert not outputs.comparable(dataclasses.replace(toys, filmed=filmed(toys), camera=moved))
    assert (outputs.error(dataclasses.replace(toys, camera=moved)) == 255).all()
    assert not outputs.comparable(toys)  # no frame of this pose


def test_the_frame_is_turned_and_scaled_to_the_canvas():
    toys = rendered()
    angle = 0.05
    turn = torch.tensor([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]).float()
    R = turn @ toys.camera.R
    K = toys.camera.K.clone()
    K[:2] *= 2
    other = Camera(K, R, -R @ toys.camera.center, 2 * toy.SIZE, 2 * toy.SIZE)
    truth, known = outputs.seen_from(filmed(toys), other, 1.0)
    own = FakeAvatar().render_image(other, toys.pose, None, 1.0)
    error = np.abs(truth.astype(float) - 255 * own.rgb.numpy()).mean(-1)
    assert known.mean() > 0.5 and np.median(error[known]) < 2 and error[known].mean() < 8


def test_what_an_avatar_lacks_is_not_offered():
    assert outputs.offered(PartedAvatar()) == ["colour", "depth", "normals", "parts", "density", "error"]
    assert outputs.offered(FakeAvatar()) == ["colour", "depth", "normals", "error"]


def test_a_picture_without_the_person():
    toys = rendered()
    nothing = dataclasses.replace(toys, image=dataclasses.replace(toys.image, alpha=torch.zeros(48, 48)))
    for name in ("depth", "normals", "parts"):
        assert (outputs.OUTPUTS[name](nothing) == 255).all(), name
