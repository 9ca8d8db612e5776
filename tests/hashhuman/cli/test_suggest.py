"""Suggestions for names that do not exist, with the project's own configs."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

import train
from hashhuman.cli.suggest import suggestion

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("encoder.log2_hashmapsize=9", "encoder.log2_hashmap_size"),
        ("max_steps=9", "trainer.max_steps"),
        ("data.nrays=9", "data.ray_sampler.n_rays"),
        ("data.ray_sampler.nrays=9", "data.ray_sampler.n_rays"),
        ("encoder=tritn", "encoder=triton"),
        ("encodr=torch", "encoder"),
        ("experiment=fsat", "experiment=fast"),
        ("preprocess/keypoint=folder", "preprocess/keypoints"),
        ("field/shading=harmonics", "field/shading=harmonic"),
        ("experiment=cup", "experiment=cpu"),
        ("zzz=1", None),
        ("encoder=qqqq", None),
    ],
)
def test_suggestions(argument: str, meant: str | None):
    train.register_resolvers()
    arguments = ["video=x", "experiment=cpu", argument]
    with (
        pytest.raises(HydraException) as raised,
        initialize_config_dir(str(CONF), version_base="1.3"),
    ):
        compose("train", arguments)
    assert suggestion(raised.value, CONF, "train", arguments) == meant


def test_options_of_the_chosen_groups():
    """`deformer=uv_time` has options that the default does not have; the rest of the line may be wrong, too."""
    train.register_resolvers()
    error = HydraException("Could not override 'deformer.residual.neighbourhood'.")
    for arguments in (["deformer=uv_time"], ["deformer=uv_time", "seed=1,2", "data.no=3"]):
        assert suggestion(error, CONF, "train", arguments) == "deformer.residual.neighborhood"
    assert suggestion(error, CONF, "train", []) != "deformer.residual.neighborhood"
    assert suggestion(ValueError("something else"), CONF, "train", []) is None


def test_arguments_that_a_class_does_not_know():
    train.register_resolvers()
    error = TypeError("Frames.__init__() got an unexpected keyword argument 'max_sise'")
    assert suggestion(error, CONF, "preprocess", []) == "max_size"


def test_an_option_that_the_rest_of_the_line_takes_away():
    """`metrics.lpips.net` exists, but not beside `metrics.lpips=null`: it is no suggestion for itself."""
    train.register_resolvers()
    error = HydraException("Could not override 'metrics.lpips.net'.")
    assert suggestion(error, CONF, "train", ["metrics.lpips=null", "metrics.lpips.net=alex"]) is None
