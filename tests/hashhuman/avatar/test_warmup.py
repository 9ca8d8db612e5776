"""The kernels that a run compiles."""

import pytest
import torch

from hashhuman.gpu import precompile
from hashhuman.training import run
from tests import tiny
from tests.hashhuman import small
from tests.hashhuman.compiled import told_by
from tests.test_train import composed


@pytest.fixture(scope="module")
def launches(toy_folder) -> dict:
    """The output of tests/hashhuman/launches.py."""
    return told_by("tests.hashhuman.launches", str(toy_folder))


def test_each_kernel_has_only_the_necessary_variants(launches):
    """Two networks of different sizes; the sampler counts or places, for all or some rays, with or without jitter."""
    networks = {"mlp_kernels.mlp_forward": 2, "mlp_kernels.mlp_backward": 2, "mlp_kernels.sum_partials": 2}
    both_ways = [f"{file}_kernels._{way}" for file in ("shading", "merge", "volume") for way in ("forward", "backward")]
    grids = [
        f"grid_kernels.{name}" for name in ("_fill", "grid_forward", "grid_backward")
    ]  # of neighbours, of features
    others = [*both_ways, "inverse_skinning_kernels._carry", *grids]
    assert launches["listed"] == {"shell_sampler_kernels._place": 5, **networks, **dict.fromkeys(others, 1)}


def test_other_sizes_launch_no_further_variants(launches):
    assert launches["others"] == []


def test_gradients_and_random_state_are_unchanged(launches):
    assert launches["untouched"]


def test_nothing_is_compiled_on_a_cpu(monkeypatch):
    monkeypatch.setattr("hashhuman.training.run.precompiled", lambda warm_up: pytest.fail("was asked to"))
    with run.compiled_ahead(small.avatar(kernels="triton")):
        pass


@pytest.mark.gpu
@pytest.mark.parametrize("pose", ["fixed", "refined"])
def test_training_launches_only_kernels_of_the_dry_run(pose, toy_folder, tmp_path, monkeypatch):
    missed = []

    class Watching(precompile.Compiler):
        """Notes kernels that the dry run did not start to compile."""

        def __call__(self, **asked) -> bool:
            if not self.in_dry_run and (asked["fn"].jit_function, asked["key"]) not in self.begun:
                missed.append(asked["fn"].name)
            return super().__call__(**asked)

    monkeypatch.setattr(precompile, "Compiler", Watching)
    options = f"data.root={toy_folder}", f"run_dir={tmp_path}", "trainer.max_steps=400", "data.batches_per_epoch=200"
    overrides = [override for override in tiny.SMALL if not override.startswith("experiment=")]
    run.train(composed("train", "data=zju_mocap", "experiment=fast", f"pose={pose}", *overrides, *tiny.TOY, *options))
    assert torch.cuda.is_initialized() and missed == []
