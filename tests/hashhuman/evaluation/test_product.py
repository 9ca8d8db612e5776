"""The functions that products share."""

import numpy as np
import pytest
import torch

from hashhuman.errors import UserError
from hashhuman.evaluation.comparisons import Comparisons
from hashhuman.evaluation.images import Images
from hashhuman.evaluation.metrics.protocols import Comparison
from hashhuman.evaluation.product import Evaluation, MeasuredPicture, remove_other_pictures, spread
from hashhuman.io.files import write_image
from tests import toy
from tests.hashhuman.fakes import FakeAvatar, FakeData


def test_spread_is_even():
    assert spread(range(10), None) == list(range(10)) and spread(range(3), 5) == [0, 1, 2]
    assert spread(range(10), 4) == [0, 3, 6, 9] and spread(range(5), 1) == [0] and spread(range(5), 0) == []


@pytest.mark.parametrize(("most", "chosen"), [("all", [0, 1, 2, 3, 4]), (3, [0, 2, 4]), (1, [0]), (0, [])])
def test_selected_pictures(most, chosen):
    image, mask = torch.zeros(2, 2, 3), torch.zeros(2, 2)
    comparison = Comparison(image, mask, image, mask, toy.camera(0), torch.zeros(1, 3))
    pictures = [MeasuredPicture("heldout", f"00/{i:06d}", i, 5, comparison, {}) for i in range(5)]
    assert [picture.index for picture in pictures if picture.among(most)] == chosen


@pytest.mark.parametrize("count", [-1, True, "none"])
@pytest.mark.parametrize(("product", "name"), [(Comparisons, "comparisons"), (Images, "images")])
def test_invalid_counts_of_pictures_are_refused(product, name, count):
    with pytest.raises(UserError, match=rf"eval\.products\.{name}\.pictures={count} must be a number of pictures, or"):
        product(count)


def test_seen_vertices_follow_the_training_cameras(toy_folder, tmp_path):
    """One frame from the front leaves most of the surface unseen; four frames of a turning body leave less."""
    views = [FakeData(toy_folder, train_frames=count, holdout_every=0) for count in (1, 4)]
    one, four = (Evaluation(FakeAvatar(), data, tmp_path, {}, {}) for data in views)
    assert 0.3 < four.unseen_surface < one.unseen_surface < 0.9
    assert not (one.seen & ~four.seen).any() and one.seen.any()
    assert one.seen is one.seen  # computed once


def test_other_pictures_are_removed_and_nothing_else(tmp_path):
    paths = [tmp_path / "shown" / name for name in ("a/0.png", "a/1.png", "b/c/2.png", "d/note.txt")]
    for path in paths[:3]:
        write_image(path, np.zeros((2, 2, 3), np.uint8))
    paths[3].parent.mkdir()
    paths[3].write_text("mine")
    remove_other_pictures(tmp_path / "shown", paths[:1])
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == [paths[0], paths[3]]
    assert not (tmp_path / "shown/b").exists()
    remove_other_pictures(tmp_path / "shown/a", [])
    assert not paths[0].parent.exists()
    remove_other_pictures(tmp_path / "nothing", [])
