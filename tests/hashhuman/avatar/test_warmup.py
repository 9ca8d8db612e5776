"""What a run has to compile."""

import pytest
import torch

from hashhuman.avatar.warmup import prepared
from hashhuman.gpu import precompile
from hashhuman.training import run
from tests import tiny
from tests.hashhuman import small
from tests.hashhuman.compiled import told_by
from tests.test_train import composed


@pytest.fixture(scope="module")
def launches(toy_folder) -> dict:
    """What tests/hashhuman/launches.py found."""
    return told_by("tests.hashhuman.launches", str(toy_folder))


def test_no_kernel_is_compiled_more_often_than_it_must(launches):
    """Networks: two, of different sizes. Samples: counted or placed, for all rays or some, with jitter or without."""
    networks = {"mlp_kernels.mlp_forward": 2, "mlp_kernels.mlp_backward": 2, "mlp_kernels.sum_partials": 2}
    both_ways = [f"{file}_kernels._{way}" for file in ("shading", "merge", "volume") for way in ("forward", "backward")]
    grids = [
        f"grid_kernels.{name}" for name in ("_fill", "grid_forward", "grid_backward")
    ]  # of neighbours, of features
    others = [*both_ways, "inverse_skinning_kernels._carry", *grids]
    assert launches["listed"] == {"shell_sampler_kernels._place": 5, **networks, **dict.fromkeys(others, 1)}


def test_sizes_make_no_difference(launches):
    assert launches["others"] == []


def test_it_leaves_no_trace(launches):
    assert launches["untouched"]


def test_on_a_cpu_there_is_nothing_to_prepare(monkeypatch):
    monkeypatch.setattr("hashhuman.avatar.warmup.precompiled", lambda warm_up: pytest.fail("was asked to"))
    with prepared(small.avatar(kernels="triton")):
        pass


@pytest.mark.gpu
def test_training_launches_nothing_that_was_not_listed(toy_folder, tmp_path, monkeypatch):
    missed = []

    class Watching(precompile.Compiler):
        """Notes what was not begun in the listing."""

        def __call__(self, **asked) -> bool:
            if not self.listing_only and (asked["fn"].jit_function, asked["key"]) not in self.begun:
                missed.append(asked["fn"].name)
            return super().__call__(**asked)

    monkeypatch.setattr(precompile, "Compiler", Watching)
    options = f"data.root={toy_folder}", f"run_dir={tmp_path}", "trainer.max_steps=400", "data.batches_per_epoch=200"
    overrides = [override for override in tiny.SMALL if not override.startswith("experiment=")]
    run.train(composed("train", "data=zju_mocap", "experiment=fast", *overrides, *tiny.TOY, *options))
    assert torch.cuda.is_initialized() and missed == []
