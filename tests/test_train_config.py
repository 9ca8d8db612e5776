"""train.py: every option of every group is composed, and what it describes is made."""

import functools
import importlib.util
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import train
from hashhuman import run
from hashhuman.errors import UserError
from preprocess.stage import Stage

CONF = Path(__file__).parents[1] / "conf"
OWN_TESTS = ("hydra",)  # groups that are not train.py's
OPTIONS = sorted(
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in CONF.rglob("*.yaml")
    if path.parent != CONF and path.relative_to(CONF).parts[0] not in OWN_TESTS and not path.stem.startswith("_")
)
STAGES = [(group, option) for group, option in OPTIONS if group.startswith("preprocess/")]
PRESETS = [option for group, option in OPTIONS if group == "experiment"]
SOURCES = [option for group, option in OPTIONS if group == "data"]
MODEL_GROUPS = ("deformer", "encoder", "field", "loss", "neighbors", "optimizer", "renderer", "step")
MODELS = [(group, option) for group, option in OPTIONS if group in MODEL_GROUPS]
OBJECT_GROUPS = ("callbacks", "eval", "logger", "metrics", "trainer")
OBJECTS = [(group, option) for group, option in OPTIONS if group in OBJECT_GROUPS]
SMALL = ("encoder.log2_hashmap_size=8", "field.parts.head.grid.log2_hashmap_size=8",
         "field.parts.larm.grid.log2_hashmap_size=8", "field.parts.rarm.grid.log2_hashmap_size=8")  # fmt: skip


def composed(folder: Path, *overrides: str) -> DictConfig:
    """What the command line would make of `data=zju_mocap`, a folder, and these."""
    train.register_resolvers()
    fixed = ["data=zju_mocap", f"data.root='{folder}'", f"run_dir='{folder / 'run'}'", "metrics.lpips=null"]
    named = {override.partition("=")[0] for override in overrides}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f for f in fixed if f.partition("=")[0] not in named] + list(overrides))


def partials(tree: Any) -> Iterator[functools.partial]:
    """All factories in what was instantiated."""
    if isinstance(tree, functools.partial):
        yield tree
        tree = tree.keywords
    if isinstance(tree, Mapping | DictConfig):
        for value in tree.values():
            yield from partials(value)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for value in tree:
            yield from partials(value)


def made(node: DictConfig) -> Any:
    """The instantiated node; its factories are checked to have the arguments that they are given."""
    tree = instantiate(node)
    for factory in partials(tree):
        inspect.signature(factory.func).bind_partial(*factory.args, **factory.keywords)
    return tree


def test_no_group_is_forgotten():
    tested = {*MODEL_GROUPS, *OBJECT_GROUPS, *(group for group, _ in STAGES)}
    assert {group for group, _ in OPTIONS} == tested | {"data", "experiment", "body", "preprocess"}


@pytest.mark.parametrize(("group", "option"), MODELS)
def test_every_model_is_built(toy_folder, group, option):
    config = composed(toy_folder, "experiment=cpu", f"{group}={option}", *(SMALL if option != "single" else SMALL[:1]))
    if option == "tinycudann" and importlib.util.find_spec("tinycudann") is None:
        with pytest.raises(UserError, match="encoder=torch"):
            run.build(config)
        return
    made(config[group])
    module, datamodule = run.build(config)
    assert module.avatar.template.joint_names == datamodule.subject.template().joint_names
    assert sum(parameter.numel() for parameter in module.avatar.parameters()) > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_built(toy_folder, preset):
    config = composed(toy_folder, f"experiment={preset}", "trainer.accelerator=cpu", *SMALL)
    for node in (config.trainer, config.callbacks, config.logger, config.eval):
        made(node)
    module, _ = run.build(config)
    assert set(module.losses) == set(config.loss) and len(module.avatar.part_points) == 5


@pytest.mark.parametrize(("group", "option"), OBJECTS)
def test_every_object_is_made(toy_folder, group, option):
    config = composed(toy_folder, "experiment=cpu", f"{group}={option}")
    assert made(config[group]) is not None


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_data_is_opened(toy_folder, source):
    video = ["video=foo"] if source == "monocular" else []
    config = composed(toy_folder, "experiment=cpu", f"data={source}", *video)
    assert made(config.data).splits["train"]
    assert (config.source is None) == (source == "zju_mocap")
    if config.source is not None:
        assert callable(made(config.source).prepare)


def test_a_video_names_its_subject(toy_folder):
    config = composed(toy_folder, "experiment=cpu", "data=monocular", "video=clips/foo.mp4", "workspace=/w",
                      "data.root=${subject_folder:${video},${workspace},${subject}}")  # fmt: skip
    assert config.data.root == "/w/subjects/foo"
    assert config.preprocess.frames.video == "clips/foo.mp4"


@pytest.mark.parametrize(("group", "option"), STAGES)
def test_every_stage_is_made(toy_folder, group, option):
    name = group.partition("/")[2]
    config = composed(toy_folder, "experiment=cpu", "data=monocular", "video=foo", f"{group}={option}")
    if OmegaConf.is_missing(config.preprocess[name], "path"):
        config.preprocess[name].path = str(toy_folder)
    stage = made(config.preprocess[name])
    assert isinstance(stage, Stage) and stage.name == name
    assert stage.outputs(toy_folder) and stage.settings() is not None


def test_every_body_is_made(toy_folder):
    for group, option in OPTIONS:
        if group == "body":
            config = composed(toy_folder, "experiment=cpu", "data=monocular", "video=foo", f"+body={option}")
            body = made(config.body)
            assert len(body.joint_names) == len(body.parents) == body.lbs_weights.shape[1]


@pytest.mark.parametrize("part", ["body", "leg", "head", "larm", "rarm"])
def test_a_size_is_every_parts_unless_a_part_has_its_own(toy_folder, part):
    own = f"field.parts.{part}.grid.log2_hashmap_size=7"
    sizes = {
        name: options.grid.log2_hashmap_size
        for name, options in composed(
            toy_folder, "experiment=cpu", "encoder.log2_hashmap_size=9", own
        ).field.parts.items()
    }
    assert sizes.pop(part) == 7 and set(sizes.values()) == {9}


def test_presets_differ_from_what_they_change(toy_folder):
    cpu, fast = (composed(toy_folder, f"experiment={preset}") for preset in ("cpu", "fast"))
    assert cpu.trainer.accelerator == "cpu" and fast.trainer.accelerator == "gpu"
    assert cpu.data.max_size and cpu.data.ray_sampler.n_rays < fast.data.ray_sampler.n_rays
