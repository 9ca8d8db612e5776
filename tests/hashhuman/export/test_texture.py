"""The texture shows the field's colours where they are."""

import numpy as np
import torch

from hashhuman.avatar.images import RenderedImage
from hashhuman.export.mesh_files import vertex_colors
from hashhuman.export.texture import completed, sampled, visible, window
from hashhuman.geometry.camera import Camera
from tests.hashhuman.export.conftest import THICK, rigging
from tests.hashhuman.export.solid import COLORS, SolidAvatar, SolidData


def test_each_part_has_its_colour(exports):
    mesh, avatar = exports.mesh, SolidAvatar(THICK)
    rest = torch.from_numpy(mesh.vertices - mesh.skeleton.offset).float()
    nearest, part = torch.stack([avatar.outside(rest, part) for part in range(5)], 1).sort(1)
    alone, box = (nearest[:, 1] - nearest[:, 0] > 0.03).numpy(), part[:, 0].numpy()  # where no other part is near
    own = np.rint(255 * COLORS.numpy()).astype(int)[box]
    near = np.abs(vertex_colors(mesh).astype(int) - own).max(1) <= 2
    # The toy has vertices at its corners only, so that some of a leg's surface rests where the torso's would.
    assert alone.mean() > 0.7 and near[alone].mean() > 0.92
    assert all(near[alone & (box == part)].mean() > 0.85 for part in range(5))
    assert (mesh.texture.reshape(-1, 3).max(1) > 0).all()  # nothing stays black, also between the charts


def test_colours_are_those_of_pictures_and_not_of_the_surface(toy_folder, capsys):
    class Fog(SolidAvatar):
        """At the surface it has the boxes' colours; through it, one sees green."""

        def _render(self, camera, pose, background):
            image = super()._render(camera, pose, background)
            return RenderedImage(image.alpha[..., None] * torch.tensor([0.0, 1.0, 0.0]), image.alpha, image.depth)

    texture = rigging(faces=500)(Fog(THICK), SolidData(toy_folder)).texture
    said = capsys.readouterr().out.splitlines()  # nobody waits for a minute without a word
    assert said[0].startswith("making the avatar's mesh") and said[-1].startswith("texture: 9/9 pictures")
    assert (texture == [0, 255, 0]).all()


def test_a_window_shows_the_points_from_the_same_place():
    camera = Camera(torch.tensor([[200.0, 0, 31], [0, 200, 20], [0, 0, 1]]), torch.eye(3), torch.zeros(3), 48, 64)
    points = torch.tensor([[-0.5, -0.9, 2.0], [0.5, 0.9, 2.0]])
    shown = window(camera, points, pixel=0.02, margin=0.1)
    assert shown is not None
    pixels = shown.project(points)[:, :2]
    assert torch.allclose(pixels[1] - pixels[0], torch.tensor([1.0, 1.8]) / 0.02)  # so large are the pixels
    assert torch.allclose(pixels[0], torch.tensor([5.0, 5.0]))  # the margin
    assert shown.width >= pixels[1, 0] + 5 and shown.height >= pixels[1, 1] + 5
    assert torch.equal(shown.R, camera.R) and torch.equal(shown.center, camera.center)
    finest = window(camera, points, pixel=1e-4, margin=0.1)
    assert finest is not None and finest.K[0, 0] == 200  # no finer than the camera's own
    assert window(camera, -points, pixel=0.02, margin=0.1) is None  # behind the camera


def test_what_lies_behind_is_not_visible():
    x, y = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    front = torch.stack([x.ravel(), y.ravel(), torch.full((400,), 2.0)], 1)
    back = front + torch.tensor([0.3, 0.3, 0.1])
    aside = front + torch.tensor([40.0, 0.0, 0.1])
    shown = visible(torch.cat([front, back, aside]), tolerance=0.03)
    assert shown[:400].all() and not shown[400:800].any() and shown[800:].all()
    assert visible(torch.cat([front, back]), tolerance=0.2).all()


def test_pictures_are_sampled_between_their_pixels():
    picture = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[..., None]
    found = sampled(picture, torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.5], [1.0, 1.0], [9.0, 9.0]]))
    assert torch.allclose(found[:, 0], torch.tensor([0.0, 0.5, 1.25, 3.0, 0.0]), atol=1e-6)


def test_unseen_places_take_the_nearest_colour():
    places = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.9, 0, 0], [0.2, 0, 0]])
    colors = torch.tensor([[0.2, 0, 0], [2.0, 2, 2], [0, 0, 0], [0, 0, 0]])
    found = completed(colors, torch.tensor([0.5, 2.0, 0, 0]), places)
    assert torch.allclose(found, torch.tensor([[0.4, 0, 0], [1, 1, 1], [1, 1, 1], [0.4, 0, 0]]))
