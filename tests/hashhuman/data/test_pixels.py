"""The training pictures as one list of pixels."""

import dataclasses

import numpy as np
import pytest
import torch

from hashhuman.data.pixels import PixelStore, TrainingPicture, shell_footprint
from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError
from tests import toy

REACH = 0.1


def training_picture(subject: Subject, picture: Picture) -> TrainingPicture:
    """A picture of the toy, with LIP classes as parts."""
    labels = subject.parts(picture)
    return TrainingPicture(
        color=subject.image(picture),
        mask=(255 * subject.mask(picture)).astype(np.uint8),
        camera=subject.camera(picture.camera),
        frame=picture.frame,
        vertices=torch.from_numpy(subject.vertices(picture.frame)),
        parts=np.where(labels > 0, labels, 255).astype(np.uint8),
    )


@pytest.fixture(scope="module")
def pictures(toy_folder) -> list[TrainingPicture]:
    """Two frames of two cameras."""
    subject = Subject(toy_folder)
    return [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 2]


@pytest.fixture(scope="module")
def store(pictures) -> PixelStore:
    """Those pictures as pixels."""
    return PixelStore.build(pictures, REACH, "cpu")


def places(store: PixelStore) -> list[tuple[int, int, int]]:
    """Picture, column and row of every pixel of the store."""
    found = []
    for k, (x, y) in enumerate(store.corner.tolist()):
        width, count = int(store.width[k]), int(store.start[k + 1] - store.start[k])
        found += [(k, x + i % width, y + i // width) for i in range(count)]
    assert len(found) == len(store.color)
    return found


def test_pixels_show_their_pictures(store, pictures):
    for k, picture in enumerate(pictures):
        mine = [(p, x, y) for p, (of, x, y) in enumerate(places(store)) if of == k]
        positions, columns, rows = map(list, zip(*mine))
        np.testing.assert_array_equal(store.color[positions], picture.color[rows, columns])
        np.testing.assert_array_equal(store.mask[positions], picture.mask[rows, columns])


def test_rays_are_the_cameras(store, pictures):
    rays = store.rays(torch.arange(len(store.color)))
    for k, picture in enumerate(pictures):
        mine = slice(int(store.start[k]), int(store.start[k + 1]))
        pixels = torch.tensor([(x, y) for of, x, y in places(store) if of == k])
        rays_o, rays_d = picture.camera.rays(pixels.float())
        torch.testing.assert_close(rays.rays_o[mine], rays_o)
        torch.testing.assert_close(rays.rays_d[mine], rays_d)
        assert (rays.frames[mine] == picture.frame).all()


def test_crops_contain_the_person_and_the_shell(store, pictures):
    in_store = np.zeros((len(pictures), toy.SIZE, toy.SIZE), bool)
    for k, x, y in places(store):
        assert not in_store[k, y, x]
        in_store[k, y, x] = True
    y, x = np.mgrid[: toy.SIZE, : toy.SIZE]
    for k, picture in enumerate(pictures):
        assert in_store[k][picture.mask > 0].all()
        rays_o, rays_d = picture.camera.rays(torch.tensor(np.stack([x, y], -1).reshape(-1, 2)).float())
        away = torch.linalg.cross((picture.vertices - rays_o[0])[None], rays_d[:, None]).norm(dim=-1).amin(1)
        near = (away < 0.8 * REACH).view(toy.SIZE, toy.SIZE).numpy()  # nearer parts of the body look larger
        assert in_store[k][near].all() and (near & (picture.mask == 0)).any()
    assert not in_store.all()


def test_pools(store):
    body, surround = (store.pools[name].long() for name in ("body", "surround"))
    assert torch.equal(body, store.mask.nonzero()[:, 0])
    assert (store.mask[surround] == 0).all() and 0 < len(surround) < (store.mask == 0).sum()


def test_drawing_from_pools(store):
    torch.manual_seed(0)
    for name, pool in (*store.pools.items(), ("box", torch.arange(len(store.mask)))):
        drawn = store.draw(name, 30 * len(pool))
        assert drawn.dtype == torch.int64 and torch.equal(drawn.unique(), pool.long())
    nobody = dataclasses.replace(store, pools=store.pools | {"body": store.pools["body"][:0]})
    assert store.draw("body", 0).shape == nobody.draw("body", 9).shape == (0,)
    with pytest.raises(UserError, match=r"no pool 'corner' among \['body', 'box', 'part"):
        store.draw("corner", 3)


def test_one_pixel_is_drawn_from_each_share_of_a_pool(store):
    torch.manual_seed(0)
    pool = store.pools["body"].long()
    count = len(pool) // 10
    drawn = torch.searchsorted(pool, torch.stack([store.draw("body", count) for _ in range(3000)]))
    share = len(pool) / count
    low = torch.arange(count) * share
    assert (drawn >= low.floor()).all() and (drawn <= (low + share).floor()).all()
    each = torch.bincount(drawn.flatten(), minlength=len(pool)) / 3000  # all pixels are equally likely
    assert (each - 1 / share).abs().max() < 5 * (1 / share / 3000) ** 0.5


def test_every_one_of_millions_of_pixels_may_be_drawn(store):
    torch.manual_seed(0)
    pixels = 200_000_000
    large = dataclasses.replace(store, color=store.color[:1].expand(pixels, 3), mask=store.mask[:1].expand(pixels))
    drawn = large.draw("box", 1000)
    assert len(drawn[-200:].remainder(16).unique()) == 16 and drawn.max() > 199_600_000


def test_surround_is_what_the_footprint_adds_to_the_mask(store, pictures):
    shown = {place: p for p, place in enumerate(places(store))}
    expected = [
        shown[k, x, y]
        for k, picture in enumerate(pictures)
        for y, x in np.argwhere(shell_footprint(picture, REACH) & (picture.mask == 0))
    ]
    assert sorted(expected) == store.pools["surround"].tolist()


def test_pools_of_the_parts(store, pictures):
    where = places(store)
    names = {name for name in store.pools if name.startswith("part ")}
    assert names == {f"part {label}" for label in toy.LIP_CLASS.values()}
    for name in names:
        expected = [p for p, (k, x, y) in enumerate(where) if pictures[k].parts[y, x] == int(name.split()[1])]
        assert store.pools[name].tolist() == expected


def test_the_footprint_grows_with_reach_and_nearness(pictures):
    picture = pictures[0]
    sizes = [shell_footprint(picture, reach).sum() for reach in (0.02, 0.1, 0.3)]
    assert (picture.mask > 0).sum() < sizes[0] < sizes[1] < sizes[2]


def test_pictures_without_labels_or_person(pictures):
    plain = dataclasses.replace(pictures[0], parts=None)
    behind = dataclasses.replace(
        plain, mask=np.zeros_like(plain.mask), vertices=2 * plain.camera.center - plain.vertices, frame=7
    )
    store = PixelStore.build([behind, plain], REACH, "cpu")
    assert set(store.pools) == {"body", "surround"}
    assert store.start[1] == 0 and store.rays(store.pools["body"][:1].long()).frames.item() == plain.frame
    with pytest.raises(UserError, match="None of the 1 training pictures shows the person"):
        PixelStore.build([behind], REACH, "cpu")
