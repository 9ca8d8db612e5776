"""Numbers out of range are refused, and the table has no unused line."""

import copy
import math
import re
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import train
from hashhuman.checks.ranges import RANGES, Range, check_ranges, range_of
from hashhuman.errors import UserError

CONF = Path(__file__).parents[3] / "conf"


def example(pattern: str) -> str:
    """A key that matches a key of the table. It also names the test, since `gpu` alone would be taken for the mark."""
    return f"group.{pattern.replace('*', 'x')}"


def check(key: str, value) -> None:
    config = OmegaConf.create({})
    OmegaConf.update(config, key, value)
    check_ranges(config)


def bad_values(allowed: Range) -> list:
    bad = [math.nan, math.inf, -math.inf, "many", "1", True]
    bad += [allowed.low - 1] * (allowed.low > -math.inf) + [allowed.high + 1] * (allowed.high < math.inf)
    return bad + [allowed.low] * allowed.above + [2.5] * allowed.whole + [None] * (not allowed.null)


@pytest.mark.parametrize("pattern", RANGES, ids=example)
def test_every_range(pattern: str):
    allowed, key = RANGES[pattern], example(pattern)
    assert range_of(key) is allowed
    for value in bad_values(allowed):
        with pytest.raises(UserError) as raised:
            check(key, value)
        said = str(raised.value)
        assert said.startswith(f"{key}=") and "must be a" in said and said.endswith(f"({allowed.why}).")
    good = [allowed.low + 1] if allowed.above and allowed.high == math.inf else [allowed.high]
    good += [] if allowed.above else [allowed.low]
    for value in [*good, *allowed.words, *([None] * allowed.null)]:
        if not (isinstance(value, float) and math.isinf(value)):
            check(key, value)


@pytest.mark.parametrize("pattern", RANGES, ids=example)
def test_every_range_has_an_option(pattern: str):
    """The last named part of each key is a key in conf/, or may be added there, such as a camera's offset."""
    last = [part for part in pattern.split(".") if part != "*"][-1]
    found = any(re.search(rf"(^|[\s{{]){last}:", path.read_text(), re.M) for path in CONF.rglob("*.yaml"))
    assert found, f"no option is called {last}"


def test_the_longest_matching_key_decides():
    assert range_of("data.source.size") is RANGES["source.size"] and range_of("size") is None
    assert range_of("avatar.prune_every") is RANGES["prune_every"] is not range_of("preprocess.keypoints.every")
    assert range_of("field.parts.head.grid.log2_hashmap_size") is RANGES["grid.log2_hashmap_size"]
    assert range_of("encoder.log2_hashmap_size") is RANGES["log2_hashmap_size"]


def test_the_sentence():
    for key, value, sentence in (
        ("trainer.max_steps", -5, "trainer.max_steps=-5 must be a whole number of at least 1 (training steps)."),
        ("budget_s", 0, "budget_s=0 must be a number above 0 or null (seconds of training)."),
        ("a.log2_hashmap_size", 99, "a.log2_hashmap_size=99 must be a whole number from 1 to 24"),
        ("optimizer.lr", "high", "optimizer.lr=high is not a number: it must be a number above 0"),
        ("data.n_rays", None, "data.n_rays=null must be a whole number"),
        ("data.n_rays", [3], "data.n_rays=[3] is not a number"),
        ("schedule.gamma", 2, "schedule.gamma=2 must be a number above 0 and at most 1"),
    ):
        with pytest.raises(UserError, match=re.escape(sentence)):
            check(key, value)


def test_the_option_that_was_set_is_named():
    """And not the option that interpolates it."""
    config = OmegaConf.create({"index": {"voxel": "${neighbors.voxel}"}, "neighbors": {"voxel": 0}})
    with pytest.raises(UserError, match=r"^neighbors\.voxel=0"):
        check_ranges(config)
    config = OmegaConf.create({"neighbors": {"voxel": 1}, "index": {"voxel": -1}})
    with pytest.raises(UserError, match=r"^index\.voxel=-1"):
        check_ranges(config)


@pytest.fixture(scope="module")
def training() -> DictConfig:
    """The config of train.py as it is by default, with a video to be preprocessed."""
    train.register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["video=clip", "experiment=cpu", "run_dir=out"])


@pytest.mark.parametrize(
    "override",
    [
        "trainer.max_steps=-5", "trainer.max_steps=0", "data.max_size=0", "data.ray_sampler.n_rays=0",
        "encoder.log2_hashmap_size=99", "encoder.log2_hashmap_size=0", "field.parts.head.grid.log2_hashmap_size=99",
        "data.holdout_every=-1", "eval.most=0", "data.val_views=-1", "optimizer.lr=0", "optimizer.optimizer.lr=-1",
        "neighbors.voxel=0", "renderer.shell_voxel=0", "encoder.finest_voxel=0", "loss.mask.weight=-1",
        "renderer.sampler.step=0", "budget_s=0", "budget_s=.nan", "seed=.inf", "data.ray_sampler.shares.body=-1",
        "preprocess.frames.max_size=0", "preprocess.frames.step=0", "preprocess.keypoints.every=0",
        "preprocess.body_fit.stages.0.steps=0", "preprocess.body_fit.stages.1.weights.flow=-1",
    ],
)  # fmt: skip
def test_typical_mistakes_are_refused(override: str, training: DictConfig):
    check_ranges(training)
    key, _, value = override.partition("=")
    config = copy.deepcopy(training)
    OmegaConf.update(config, key, yaml.safe_load(value))  # in struct mode: the option exists
    with pytest.raises(UserError, match=f"^{re.escape(key)}="):
        check_ranges(config)


def test_options_of_other_packages_are_their_own():
    """Down to the next class of ours."""
    own, theirs = {"_target_": "hashhuman.x.X"}, {"_target_": "my_lab.x.X"}
    numbers = {"start": -1.5, "limit": None, "width": 0}
    check_ranges(OmegaConf.create({"a": theirs | numbers, "b": theirs | {"list": [numbers]}}))
    for node, key in (
        (own | {"width": 0}, "width"),
        (theirs | {"inner": own | {"width": 0}}, "inner.width"),
        (own | {"options": {"width": 0}}, "options.width"),
    ):
        with pytest.raises(UserError, match=rf"^a\.{re.escape(key)}=0"):
            check_ranges(OmegaConf.create({"a": node}))


@pytest.mark.parametrize("name", ["checkpoint", "pictures", "progress", "clock"])
def test_a_callback_can_be_left_out(name: str, training: DictConfig):
    """No callback is taken for a number of the same name."""
    config = copy.deepcopy(training)
    assert "_target_" in config.callbacks[name]
    OmegaConf.update(config, f"callbacks.{name}", None)
    check_ranges(config)


def test_missing_values_are_not_checked():
    check_ranges(OmegaConf.create({"max_steps": "???", "seed": "${nothing.here}", "no_such_option": -7}))


@pytest.mark.parametrize("key", ["preprocess.force", "preprocess.masks.force", "preprocess.gate"])
def test_switches(key: str):
    check(key, True)
    for value in ("maybe", 3, None):
        with pytest.raises(UserError, match=rf"^{key}=(maybe|3|null) must be true or false\.$"):
            check(key, value)


@pytest.mark.parametrize("key", ["workspace", "run_dir"])
def test_folders(key: str):
    check(key, "somewhere")
    for value in (None, 3, ""):
        with pytest.raises(UserError, match=rf"^{key}=(null|3|) must name a folder\.$"):
            check(key, value)
