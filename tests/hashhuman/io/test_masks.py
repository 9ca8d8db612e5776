"""Every kind of mask gives the same coverage, and what is no mask is refused by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hashhuman.errors import UserError
from hashhuman.io.masks import read_mask

HEIGHT, WIDTH = 60, 80


@pytest.fixture
def person() -> np.ndarray:
    """A person (H, W), bool, with a hole between the legs."""
    person = np.zeros((HEIGHT, WIDTH), bool)
    person[10:50, 30:50] = True
    person[35:50, 38:42] = False
    return person


@pytest.fixture
def photograph() -> np.ndarray:
    """A picture without a black or even region."""
    blotches = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH, 3)), (0, 0), 4)
    return (128 + 35 * blotches / blotches.std()).clip(40, 240).astype(np.uint8)


def saved(path: Path, image: np.ndarray) -> Path:
    """Writes a picture as OpenCV does; RGB(A)."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), image)
    return path


def palette(path: Path, ids: np.ndarray, colours: list[int]) -> Path:
    """Writes a palette picture."""
    image = Image.fromarray(ids.astype(np.uint8), "P")
    image.putpalette(colours)
    image.save(path)
    return path


def other(person: np.ndarray) -> np.ndarray:
    """Where somebody else is."""
    return np.roll(person, -28, 1) & ~person


KINDS = {
    "white on black": lambda p, _: (".png", 255 * p.astype(np.uint8)),
    "one on zero": lambda p, _: (".png", p.astype(np.uint8)),
    "one grey on zero": lambda p, _: (".png", 38 * p.astype(np.uint8)),
    "16 bits": lambda p, _: (".png", 65535 * p.astype(np.uint16)),
    "16 bits, one on zero": lambda p, _: (".png", p.astype(np.uint16)),
    "grey as colour": lambda p, _: (".png", np.repeat(255 * p[..., None].astype(np.uint8), 3, 2)),
    "red on black": lambda p, _: (".png", p[..., None] * np.array([128, 0, 0], np.uint8)),
    "a label colour on white": lambda p, _: (".png", np.where(p[..., None], np.array([0, 90, 200], np.uint8), 255)),
    "alpha, colours everywhere": lambda p, i: (".png", np.dstack([i, 255 * p.astype(np.uint8)])),
    "opaque, white on black": lambda p, _: (".png", np.dstack([255 * p.astype(np.uint8)] * 3 + [0 * p + 255])),
    "cut-out on black": lambda p, i: (".png", np.where(p[..., None], i, 0)),
    "cut-out on white": lambda p, i: (".png", np.where(p[..., None], i, 255).astype(np.uint8)),
    "truth values": lambda p, _: (".npy", p),
    "1 x H x W": lambda p, _: (".npy", p[None]),
    "coverage": lambda p, _: (".npy", p.astype(np.float32)),
    "0 to 255": lambda p, _: (".npy", 255.0 * p),
    "logits": lambda p, _: (".npy", np.where(p, 4.5, -7.0)),
    "ids of two people": lambda p, _: (".png", (p * 2 + other(p) * 1).astype(np.uint8)),
    "ids in large steps": lambda p, _: (".png", (p * 75 + other(p) * 38).astype(np.uint8)),
    "16-bit ids": lambda p, _: (".png", (p * 300 + other(p) * 4).astype(np.uint16)),
    "colours of two people": lambda p, _: (".png", np.dstack([128 * other(p), 128 * p, 0 * p])),
    "ids, .npy": lambda p, _: (".npy", p * 2 + other(p) * 1),
    "objects x H x W": lambda p, _: (".npy", np.stack([other(p), p])),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mask(kind, person, photograph, tmp_path):
    suffix, content = KINDS[kind](person, photograph)
    path = tmp_path / f"mask{suffix}"
    if suffix == ".npy":
        np.save(path, content)
    else:
        saved(path, np.ascontiguousarray(content.astype(content.dtype if content.dtype == np.uint16 else np.uint8)))
    near = cv2.dilate(person.astype(np.uint8), np.ones((5, 5))) > 0
    np.testing.assert_array_equal(read_mask(path, HEIGHT, WIDTH, near), person.astype(np.float32))


@pytest.mark.parametrize("first", [[0, 0, 0], [255, 255, 255]])
def test_a_palette_holds_ids(first, person, tmp_path):
    """As DAVIS and SAM 2 write them: the colour of index 1 is dark red, that of index 2 dark green."""
    colours = [*first, 128, 0, 0, 0, 128, 0]
    one = palette(tmp_path / "one.png", person, colours)
    np.testing.assert_array_equal(read_mask(one, HEIGHT, WIDTH), person)
    two = palette(tmp_path / "two.png", np.where(person, 2, other(person)), colours)
    np.testing.assert_array_equal(read_mask(two, HEIGHT, WIDTH, person), person)
    np.testing.assert_array_equal(read_mask(two, HEIGHT, WIDTH), person | other(person))  # nothing tells who it is


def test_a_palette_of_greys_is_grey(person, tmp_path):
    """A white-first palette, as programs write that shrink PNG files."""
    path = palette(tmp_path / "grey.png", ~person, [255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(read_mask(path, HEIGHT, WIDTH), person)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 200, 0)])
def test_soft_outlines_stay_soft(suffix, colour, person, tmp_path):
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1)
    path = saved(tmp_path / f"soft{suffix}", (soft[..., None] * np.uint8(colour)).round().astype(np.uint8))
    read = read_mask(path, HEIGHT, WIDTH)
    assert np.abs(read - soft).mean() < 0.015
    assert ((read > 0.5) == (soft > 0.5)).mean() > 0.99


def test_sixteen_bits_of_coverage(person, tmp_path):
    soft = cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1)
    path = saved(tmp_path / "soft.png", (soft * 65535).round().astype(np.uint16))
    np.testing.assert_allclose(read_mask(path, HEIGHT, WIDTH), soft, atol=1e-4)


def test_nobody_is_an_empty_mask(tmp_path):
    assert not read_mask(saved(tmp_path / "none.png", np.zeros((HEIGHT, WIDTH), np.uint8)), HEIGHT, WIDTH).any()


@pytest.mark.parametrize("scale", [0.5, 2, 3.7])
def test_other_sizes_of_the_same_shape(scale, person, tmp_path):
    size = round(WIDTH * scale), round(HEIGHT * scale)
    large = cv2.resize(person.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    read = read_mask(saved(tmp_path / "m.png", 255 * large), HEIGHT, WIDTH) > 0.5
    assert (read & person).sum() / (read | person).sum() > 0.9
    with pytest.raises(UserError, match="resize the masks"):
        read_mask(saved(tmp_path / "m.png", 255 * large[: size[1] // 2]), HEIGHT, WIDTH)


def test_what_is_no_mask_is_refused_by_name(person, photograph, tmp_path):
    with pytest.raises(UserError, match=r"photo\.png is a photograph"):
        read_mask(saved(tmp_path / "photo.png", photograph), HEIGHT, WIDTH)
    with pytest.raises(UserError, match=r"grey\.png is no mask: its median value inside"):
        read_mask(saved(tmp_path / "grey.png", cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY)), HEIGHT, WIDTH)
    with pytest.raises(UserError, match=r"all\.png masks the whole picture"):
        read_mask(saved(tmp_path / "all.png", np.full((HEIGHT, WIDTH), 255, np.uint8)), HEIGHT, WIDTH)
    np.save(tmp_path / "x.npy", np.full((HEIGHT, WIDTH), np.nan))
    with pytest.raises(UserError, match=r"x\.npy must hold a mask"):
        read_mask(tmp_path / "x.npy", HEIGHT, WIDTH)
    (tmp_path / "broken.png").write_bytes((tmp_path / "all.png").read_bytes()[:40])
    with pytest.raises(UserError, match=r"broken\.png is not a readable image"):
        read_mask(tmp_path / "broken.png", HEIGHT, WIDTH)


def test_a_mask_that_claims_a_huge_picture_is_not_decoded(tmp_path: Path):
    image = np.zeros((9460, 9460), np.uint8)  # a few kilobytes of file
    for name in ("grey.png", "palette.png"):
        picture = Image.fromarray(image)
        if name == "palette.png":
            picture = picture.convert("P")
        picture.save(tmp_path / name)
        with pytest.raises(UserError, match=rf"{name} is not a readable image file .*9460 x 9460 pixels"):
            read_mask(tmp_path / name, HEIGHT, WIDTH)
