"""Pixels beyond the budget lie in a file, and are the same pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hashhuman.data import pixels
from hashhuman.data.shelf import Shelf
from hashhuman.errors import UserError
from tests.hashhuman.data.test_datamodule import made


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shelf = Shelf(1e-3, tmp_path / "cache")
    large, small = shelf.rows(), shelf.rows()
    parts = [rng.integers(0, 255, (n, 3), dtype=np.uint8) for n in (200, 0, 400, 1)]
    for part in parts:
        large.append(part)
        small.append(np.array([len(part)]))
    found = large.finish()
    assert isinstance(found, np.memmap) and found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.concatenate(parts))
    assert small.finish().tolist() == [200, 0, 400, 1]
    assert shelf.used <= 1e-3 * 2**20
    assert not list((tmp_path / "cache").iterdir())  # the file has no name


def test_without_a_bound_all_is_in_memory(tmp_path: Path) -> None:
    rows = Shelf().rows()
    rows.append(np.zeros((1000, 1000)))
    assert not isinstance(rows.finish(), np.memmap)


def test_training_sees_the_same_pixels(toy_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = []
    for memory_mb, at_once in ((64, 2**24), (0, 2**24), (0, 1000)):
        monkeypatch.setattr(pixels, "AT_ONCE", at_once)
        data = made(toy_copy, train_cameras=[0, 1], memory_mb=memory_mb)
        data.setup("fit")
        assert isinstance(data.crops()[0].color, np.memmap) == (memory_mb == 0)
        assert data.store is not None
        stores.append(data.store)
    for other in stores[1:]:
        assert stores[0].pools.keys() == other.pools.keys() and len(other.pools) > 2
        tensors = [(getattr(stores[0], n), getattr(other, n)) for n in ("color", "mask", "start", "corner")]
        for mine, theirs in [*tensors, *((stores[0].pools[n], other.pools[n]) for n in other.pools)]:
            assert mine.dtype == theirs.dtype and torch.equal(mine, theirs)
        drawn = []
        for store in (stores[0], other):
            torch.manual_seed(3)
            drawn.append(store.rays(store.draw("body", 50)).rays_d)
        assert torch.equal(*drawn)


def test_the_second_run_reads_the_cache_within_the_budget(toy_copy: Path) -> None:
    first, _ = made(toy_copy, cache_mb=8, memory_mb=0).crops()
    second, _ = made(toy_copy, cache_mb=8, memory_mb=0).crops()
    assert isinstance(second.mask, np.memmap)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))


def test_a_full_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(UserError, match=r"raise data\.memory_mb"):
        Shelf(0, tmp_path / "cache").rows().append(np.ones(3))
    if Path("/dev/full").exists():
        shelf = Shelf(0, tmp_path)
        shelf.open_file = lambda: open("/dev/full", "wb", buffering=0)  # noqa: SIM115
        with pytest.raises(UserError, match="takes no more pixels"):
            shelf.rows().append(np.ones(9999))
