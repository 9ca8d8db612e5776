"""Options of the wrong kind are refused by the annotations of what they are given to."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import train
from hashhuman.checks.types import check_types, fits
from hashhuman.errors import UserError

CONF = Path(__file__).parents[3] / "conf"


class Thing:
    """Any object."""


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [1, 2.0], [None, "1", True, [1], {"a": 1}]),
        (float | None, [1, 0.5, None], ["x", False]),
        (bool, [True], [1, None, "true"]),
        (str | Path, ["a"], [3, None, ["a"]]),
        (Literal["a", "b"], ["a"], ["c", None]),
        (list[int], [[], [1, 2]], [1, ["a"], "ab", None]),
        (Sequence[float], [[0.5, 1]], [0.5, {"a": 1}]),
        (Mapping[str, float], [{"a": 1}], [1, [1], None]),
        (Thing, [{"_target_": "x"}], [None, 5, "x"]),
        (Callable[[int], int], [{"_target_": "x"}], [None, 5]),
        (Any, [None, 5, "x", [1]], []),
    ],
)
def test_what_fits(hint: Any, good: list, bad: list):
    config = OmegaConf.create({"good": good, "bad": bad})
    assert all(fits(value, hint) for value in config.good)
    assert not any(fits(value, hint) for value in config.bad)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.ray_sampler=null", "data.ray_sampler=null must be an object"),
        ("data.ray_sampler=5", "data.ray_sampler=5 must be an object"),
        ("data.ray_sampler.background=pink", "data.ray_sampler.background=pink must be random or black."),
        ("data.ray_sampler.shares=null", "data.ray_sampler.shares=null must be names with values"),
        ("data.train_cameras=0", "data.train_cameras=0 must be a list, such as [0]."),
        ("data.root=null", "data.root=null must be a text or a path."),
        ("trainer.max_steps={a:3}", "trainer.max_steps={'a': 3} must be a number."),
        ("preprocess.frames.max_size={a:3}", "preprocess.frames.max_size={'a': 3} must be a number or null."),
    ],
)
def test_mistakes_that_people_make(override: str, sentence: str):
    train.register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        check_types(compose("train", ["video=x", "experiment=cpu"]))
        config = compose("train", ["video=x", "experiment=cpu", override])
    with pytest.raises(UserError, match="^" + re.escape(sentence)):
        check_types(config)
