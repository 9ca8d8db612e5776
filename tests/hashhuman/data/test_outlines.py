"""Distances from outlines, against a rectangle."""

import dataclasses

import numpy as np
import torch

from hashhuman.data.outlines import Outlines
from hashhuman.data.pixels import Crops
from hashhuman.geometry.camera import Camera

CAMERA = Camera(
    torch.tensor([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]]), torch.eye(3), torch.tensor([0.0, 0.0, 2.0]), 80, 100
)


def crops(count: int = 1, empty: tuple[int, ...] = ()) -> Crops:
    """The person covers x = 40..59, y = 30..49 of each picture; crops begin at (30, 20) and are 50 by 40."""
    mask = np.zeros((count, 40, 50), np.uint8)
    mask[:, 10:30, 10:30] = 255
    mask[list(empty)] = 0
    flat = mask.ravel()
    corner, size = np.tile([[30, 20]], (count, 1)), np.tile([[50, 40]], (count, 1))
    zeros = np.zeros((len(flat), 3), np.uint8)
    return Crops(zeros, flat, flat > 0, np.full(len(flat), 255, np.uint8), corner, size)


def at(x: float, y: float, depth: float = 2.0) -> list[float]:
    """The world position that projects to a pixel."""
    return [(x - 50) * depth / 100, (y - 40) * depth / 100, depth - 2]


def test_distances_by_hand():
    seen = Outlines.of(crops(), [CAMERA], [3], 10, "cpu")
    places = [(45, 35), (59, 49), (64, 40), (50, 20), (62, 53), (99, 40), (5, 40)]
    distance, in_picture, scale = (x[0] for x in seen.look_up(slice(1), torch.tensor([[at(*p) for p in places]])))
    assert in_picture.all() and seen.frames == [3]
    # Beyond the crop, at x = 99 and 5, the distance of its border counts with the way there.
    expected = torch.tensor([0, 0, 5, 10, 5, 20 + 20, 10 + 25])
    torch.testing.assert_close(distance, expected.float(), atol=0.15, rtol=0.01)
    torch.testing.assert_close(scale, torch.full((7,), 50.0))


def test_places_outside_the_picture_are_not_shown():
    seen = Outlines.of(crops(), [CAMERA], [0], 10, "cpu")
    places = torch.tensor([[at(-2, 40), at(101, 40), at(50, -2), at(50, 81), at(50, 40, -1.0), at(50, 40)]])
    assert seen.look_up(slice(1), places)[1].tolist() == [[False] * 5 + [True]]


def test_each_picture_has_its_own_camera_and_crop():
    """Pictures of different sizes, asked together, say what each says alone."""
    one, other = crops(), crops()
    size = np.array([[50, 40], [40, 30]])
    mask = np.concatenate([one.mask, other.mask.reshape(40, 50)[10:, 10:].ravel()])
    zeros = np.zeros((len(mask), 3), np.uint8)
    both = Crops(zeros, mask, mask > 0, np.full(len(mask), 255, np.uint8), np.array([[30, 20], [40, 30]]), size)
    aside = dataclasses.replace(CAMERA, T=torch.tensor([0.1, 0.0, 3.0]), width=90)
    seen = Outlines.of(both, [CAMERA, aside], [0, 1], 10, "cpu")
    generator = torch.Generator().manual_seed(0)
    places = torch.randn(2, 60, 3, generator=generator) * torch.tensor([0.6, 0.5, 0.3])
    together = seen.look_up(slice(0, 2), places)
    for picture, camera in enumerate((CAMERA, aside)):
        only = slice(picture, picture + 1)
        alone = Outlines.of(both, [camera] * 2, [0, 1], 10, "cpu").look_up(only, places[[picture]])
        for mine, theirs in zip(together, alone):
            torch.testing.assert_close(mine[picture], theirs[0])
        x, y, _ = camera.project(places[picture]).unbind(1)
        inside = (x > -0.5) & (x < camera.width - 0.5) & (y > -0.5) & (y < 79.5)
        assert torch.equal(together[1][picture], inside) and 10 < inside.sum() < 60
        left, top = both.corner[picture]
        near_x, near_y = x.clamp(left, 79), y.clamp(top, 59)  # in the crop, whose last pixel is the same
        person = torch.hypot(near_x - near_x.clamp(40, 59), near_y - near_y.clamp(30, 49))
        expected = person + torch.hypot(x - near_x, y - near_y)
        assert ((together[0][picture] - expected)[inside].abs() < 0.05 * expected[inside] + 1).all()


def test_pictures_without_a_person_are_left_out():
    seen = Outlines.of(crops(6, empty=(0, 3)), [CAMERA] * 6, list(range(6)), 10, "cpu")
    assert seen.frames == [1, 2, 4, 5] and len(seen) == 4


def test_few_pictures_are_spread_evenly():
    assert Outlines.of(crops(9), [CAMERA] * 9, list(range(9)), 3, "cpu").frames == [0, 4, 8]
