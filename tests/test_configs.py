"""Every option of every group under conf/ is composed with the root configs that use it, and what it names is made."""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import train
from hashhuman.animate.animator import Animator
from hashhuman.checks import ranges, types
from hashhuman.encoder.spec import HashGridSpec
from hashhuman.encoder.torch_grid import TorchHashGrids
from hashhuman.errors import UserError
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.metrics import lpips
from hashhuman.export.exporter import Exporter
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.training import run
from hashhuman.view.viewer import Viewer
from preprocess.pipeline import subject_folder
from preprocess.stage import Stage
from preprocess.stage_order import STAGES
from tests import smpl_files, toy
from tests.preprocess.dataset import miniature

CONF = Path(__file__).parents[1] / "conf"
ARCHITECTURE = CONF.parent / "docs/architecture.md"
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
OPTIONS = sorted(path.relative_to(CONF).with_suffix("").as_posix() for path in CONF.glob("*/**/*.yaml"))
SIMPLEST = {
    "train": {"data": "zju_mocap"},
    "eval": {},
    "export": {},
    "animate": {},
    "compare": {},
    "preprocess": {},
    "view": {},
}  # what brings in the fewest groups
NEEDS = {
    "tinycudann": "tinycudann",
    "pytorch3d": "pytorch3d",
    "wandb": "wandb",
}  # options that a package may be missing for


@functools.cache
def choices(root: str) -> dict[str, dict[str, str]]:
    """Groups that a root config chooses among, as overrides name them, with the overrides that bring each one in."""
    found: dict[str, dict[str, str]] = {}
    waiting = [SIMPLEST[root]]
    while waiting:
        overrides = waiting.pop(0)
        with initialize_config_dir(str(CONF), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            result = loader.compute_defaults_list(root, as_list(overrides), RunMode.RUN)
        for key in result.overrides.known_choices.keys() - found.keys():
            found[key] = overrides
            brothers = [option for option in OPTIONS if group_of(option) == key.partition("@")[0]]
            waiting += [overrides | {key: Path(option).name} for option in brothers if branches(option)]
    return found


def as_list(overrides: dict[str, str]) -> list[str]:
    return [f"{key}={option}" for key, option in overrides.items()]


def group_of(option: str) -> str:
    return Path(option).parent.as_posix()


def branches(option: str) -> bool:
    """Whether an option has a defaults list, through which it may bring in further groups."""
    return "defaults:" in (CONF / f"{option}.yaml").read_text()


def uses(option: str) -> list[tuple[str, list[str]]]:
    """Root configs that can choose an option, and the overrides that do."""
    return [
        (root, as_list(overrides | {key: Path(option).name}))
        for root in ROOTS
        for key, overrides in choices(root).items()
        if key.partition("@")[0] == group_of(option)
    ]


@pytest.fixture(scope="module", autouse=True)
def _resolvers():
    train.register_resolvers()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a recording in the layouts of all data sets at once, but for what h5py would write."""
    folder, who = tmp_path_factory.mktemp("data") / "mine", miniature.person(2, miniature.model())
    miniature.neuman(folder, who)
    miniature.instant_avatar(folder, who, np.eye(4))
    miniature.film(folder, np.ones((2, miniature.SIZE, miniature.SIZE), bool))
    for name in ("masks.hdf5", "reconstructed_poses.hdf5"):
        (folder / name).touch()
    return folder


@pytest.fixture
def composed(tmp_path: Path, toy_folder: Path, recording: Path):
    """Composes a config, with the toy wherever a folder is missing, and tables small enough for it."""
    video = tmp_path / "clip.mp4"
    video.touch()

    def make(root: str, *overrides: str) -> DictConfig:
        given = {
            "train": [f"run_dir={tmp_path}", f"data.root={toy_folder}", "trainer.accelerator=cpu"],
            "eval": [],
            "export": [],
            "animate": [],
            "compare": [],
            "preprocess": [],
            "view": [],
        }[root]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose(root, [*overrides, *given])
        for key in missing(OmegaConf.to_container(config)):
            film = (
                recording if "DatasetFrames" in str(OmegaConf.select(config, "preprocess.frames._target_")) else video
            )
            OmegaConf.update(config, key, str(film if key == "video" else toy_folder))
        return OmegaConf.create(shrunk(OmegaConf.to_container(config, resolve=True)))

    return make


def missing(node: Any, key: str = "") -> list[str]:
    """The keys that the command line must give."""
    if isinstance(node, dict):
        return [found for name, value in node.items() for found in missing(value, f"{key}.{name}".strip("."))]
    return [key] if node == "???" else []


def shrunk(node: Any) -> Any:
    """The same settings with hash tables of at most 2^8 entries; null stays null."""
    if isinstance(node, dict):
        small = {key: shrunk(value) for key, value in node.items()}
        size = node.get("log2_hashmap_size")
        return small | ({} if size is None else {"log2_hashmap_size": min(8, size)})
    return [shrunk(value) for value in node] if isinstance(node, list) else node


# Options that are null or a number by default, but whose values are not single numbers.
NO_NUMBERS = {
    "callbacks.carve": "a node; null: nothing is carved",
    "body.prior": "a dictionary of phenotypes, which the body checks",
    "joints": "a list of names; null: the joints that no other part names",
    "lpips": "a node; null: without LPIPS",
    "motion": "a file or a folder; null: the filmed one alone",
    "motion_root": "a folder",
    "animate.video": "a format; null: no video",
    "retargeting.names": "names of joints by those of ours, which the class checks",
    "retargeting.up": "an axis, which the class checks",
    "clip": "a name or a position; null: the first",
    "source": "a node; null: the subject folder is finished",
    "smpl_meta": "a folder",
    "root": "a folder",
    "out": "a folder",
    "subject": "a name",
    "resume": "true, false, null or a folder",
    "logger.wandb.name": "a name",
    "easymocap.camera": "a name",
    "frames.camera": "a file or a node",
    "cameras": "a list of names",
    "calibration": "a file",
    "checkpoint": "a file",
    "models": "a folder",
    "test_frames": "three numbers, which the splits check",
    "parts": "a folder",
    "dataset.poses": "a file",
    "results": "a folder",
    "background": "true, false or null: as the pictures suggest",
    "person": "a number, a point or null, which the stage checks",
    "keypoints.size": "width and height, which the stage checks",
}


def without_range(config: DictConfig) -> list[str]:
    """Options that are numbers, or null and thus perhaps numbers, and that neither list above knows."""
    numbers = [leaf.key for leaf in ranges.leaves(config) if leaf.value is None or ranges.is_number(leaf.value)]
    exempt = tuple(f".{end}" for end in NO_NUMBERS)
    return [key for key in numbers if ranges.range_of(key) is None and not f".{key}".endswith(exempt)]


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch):
    """LPIPS without its weights, which tests/hashhuman/metrics checks."""

    def init(self, net: str, taps: int = 5, weights: Path | None = None) -> None:
        assert net in ("alex", "vgg")
        torch.nn.Module.__init__(self)

    monkeypatch.setattr(lpips.Trunk, "__init__", init)


def make_everything(root: str, config: DictConfig) -> None:
    """Makes the objects that an entry point makes of its config; stages of preprocessing are made and not run."""
    if root == "train":
        module, datamodule = run.build(config)
        assert len(datamodule.splits["train"]) > 0 and module.avatar.field.names
        scene = module.avatar.scene(datamodule.train_poses)
        found = scene.index.neighbors.query(scene.bodies.vertices[0], torch.zeros(40, dtype=torch.long), 0.01)
        assert len(found.point) >= 40
        module.configure_optimizers()
        assert module.schedule(0) > 0
        loggers = list(instantiate(config.logger).values())
        callbacks = [callback for callback in instantiate(config.callbacks).values() if callback is not None]
        trainer = instantiate(config.trainer, logger=loggers, callbacks=callbacks)
        assert trainer.max_steps == config.trainer.max_steps
        assert all(callback in trainer.callbacks for callback in callbacks) and trainer.loggers == loggers
        if config.source is not None:
            assert callable(instantiate(config.source).prepare)
    if "eval" in config:
        assert isinstance(instantiate(config.eval), Evaluator)
    if "animate" in config:
        assert isinstance(instantiate(config.animate), Animator)
    if "export" in config:
        assert isinstance(instantiate(config.export), Exporter)
    if "view" in config:
        assert isinstance(instantiate(config.view.viewer), Viewer) and callable(instantiate(config.view.mesh))
    preprocess = config.get("preprocess", {})
    assert all(callable(instantiate(node)) for node in preprocess.get("doctor", {}).values())
    for name, stage in preprocess.items():
        if name in STAGES and stage is not None:
            made = instantiate(stage)
            assert isinstance(made, Stage) and made.name == name and isinstance(made.settings(), dict)


@pytest.mark.parametrize("root", ROOTS)
def test_defaults(root: str, composed):
    make_everything(root, composed(root))  # with train.py, that is data=monocular


@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: str, composed):
    used = uses(option)
    assert used, f"no root config can choose {option}"
    for root, overrides in used:
        config = composed(root, *overrides)
        assert without_range(config) == []
        ranges.check_ranges(config)
        types.check_types(config)
        package = NEEDS.get(Path(option).name)
        if package and importlib.util.find_spec(package) is None:
            with pytest.raises(UserError, match=f"needs the package {package}"):
                make_everything(root, config)
        else:
            make_everything(root, config)


@pytest.mark.parametrize("option", [option for option in OPTIONS if group_of(option) == "body"])
def test_bodies(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HASHHUMAN_MODELS", str(tmp_path))
    arrays = smpl_files.model(toy.template())
    smpl_files.write_tree(tmp_path / "smpl", toy.template(), arrays)
    for sex in ("FEMALE", "MALE"):
        smpl_files.write_pickle(tmp_path / f"smpl/SMPL_{sex}.pkl", arrays)
    (tmp_path / "smplx").mkdir()
    np.savez(tmp_path / "smplx/SMPLX_NEUTRAL.npz", **arrays)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        body = instantiate(compose(option).body)()
    assert len(body.joint_names) == len(body.parents) == body.lbs_weights.shape[1]


@pytest.mark.parametrize("subject", ["../x", "a/b", ".", "..", "/x"])
def test_a_subject_is_one_folder(subject: str):
    with pytest.raises(UserError, match=re.escape(f"subject={subject} must be the name of a folder")):
        subject_folder("foo.mp4", Path("data"), subject)


@pytest.mark.parametrize("video", ["", ".", "/"])
def test_a_video_has_a_name(video: str):
    with pytest.raises(UserError, match=re.escape(f"video={video} names no video")):
        subject_folder(video, Path("data"))


def test_a_video_names_its_subject(tmp_path: Path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["video=clips/foo.mp4", f"workspace={tmp_path}"])
        named = compose("train", ["video=clips/foo.mp4", f"workspace={tmp_path}", "subject=bar"])
    assert config.data.root == str(tmp_path / "subjects/foo")
    assert named.data.root == str(tmp_path / "subjects/bar")
    assert config.preprocess.frames.video == "clips/foo.mp4"


def test_the_body_option_reaches_the_body_fit():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("preprocess", ["video=x", "body=smpl", "body.root=/my smpl"])
        body = instantiate(config.preprocess.body_fit).body
    assert body.func.name == "smpl" and body.keywords == {"root": "/my smpl", "model": "SMPL_NEUTRAL.pkl"}


def test_options_for_all_parts_and_for_one_part():
    def sizes(*overrides: str) -> dict[str, int]:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", ["data=zju_mocap", "experiment=cpu", *overrides])
        specs: list[HashGridSpec] = []

        def grids(given: list[HashGridSpec]) -> TorchHashGrids:
            specs.extend(given)
            return TorchHashGrids([HashGridSpec(1, 1, 3, 2, 2.0)] * len(given))

        make_encoder = functools.partial(instantiate(config.encoder), backend=grids)
        field, _ = instantiate(config.field)(toy.template(), 1, make_encoder, TorchMLPs, 0.1)
        return {name: spec.log2_hashmap_size for name, spec in zip(field.names, specs, strict=True)}

    assert set(sizes().values()) == {15}
    assert set(sizes("encoder.log2_hashmap_size=11").values()) == {11}
    assert set(sizes("hash_grids.log2_hashmap_size=11").values()) == {11}  # as presets say it
    own = sizes("encoder.log2_hashmap_size=11", "field.parts.head.grid.log2_hashmap_size=7")
    assert own == {"body": 11, "leg": 11, "head": 7, "larm": 11, "rarm": 11}


def test_differences_between_presets():
    """The presets differ as documented, at the scale of a whole run."""

    def preset(name: str) -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose("train", ["data=zju_mocap", f"experiment={name}"])

    fast, cpu, best, paper = map(preset, ("fast", "cpu", "best", "instant_nvr"))
    for name, value in {"trainer.max_steps": 1.4, "data.ray_sampler.n_rays": 2}.items():
        assert OmegaConf.select(cpu, name) * value <= OmegaConf.select(fast, name), name
    assert cpu.renderer.sampler.step > fast.renderer.sampler.step > best.renderer.sampler.step
    assert best.trainer.max_steps > fast.trainer.max_steps and best.encoder.finest_voxel < fast.encoder.finest_voxel
    for config in (fast, cpu, best, paper):  # grids are filled up to the radius of the queries
        skinning, neighbors = config.deformer.skinning, config.neighbors
        assert neighbors.reach >= max(skinning.reach, skinning.depth) + 0.87 * neighbors.voxel
    for config in (fast, cpu, best):
        assert config.avatar.prune_after < config.trainer.max_steps / 2 and config.field.conditions == {}
        assert config.field.shading._target_.endswith("HarmonicLight") and "spec" not in config.deformer.residual
    # Geng et al. 2023: colours depend on the view and nothing is lit, learned displacements, 5 cm around the body,
    # black backgrounds, and no memory of what is empty.
    assert set(paper.field.conditions) == {"view_direction"} and set(paper.field.parts) == set(fast.field.parts)
    assert paper.field.shading == {"_target_": "hashhuman.field.shading.Unshaded"}
    assert paper.deformer.residual._target_.endswith("UVTimeResidual")
    assert paper.deformer.skinning.reach == paper.deformer.skinning.depth == 0.05
    assert paper.avatar.prune_after is None and paper.data.ray_sampler.background == "black"
    unused = {"pose_smoothness", "pose_distance", "exposure"}  # whose weights are 0 with fixed poses and exposure
    assert set(paper.loss) == {"color", "patches", "distortion", "residual_size", "residual_smoothness"} | unused
    assert paper.optimizer.optimizer.lr == 5e-4 and paper.loss.distortion.weight > 0


def test_a_new_number_needs_a_range():
    config = OmegaConf.create({"field": {"new": 3, "maybe": None, "width": 4, "name": "x", "on": True}})
    assert without_range(config) == ["field.new", "field.maybe"]


def targets(node: Any) -> list[str]:
    """Whatever a config makes, at any depth."""
    if isinstance(node, dict):
        own = [node["_target_"]] if "_target_" in node else []
        return own + [target for value in node.values() for target in targets(value)]
    return [target for value in node for target in targets(value)] if isinstance(node, list) else []


def packages_of(group: str) -> tuple[str, list[str]]:
    """The package that a group belongs to, and further ones of which it may make objects (docs/architecture.md)."""
    row = re.search(rf"^\| `conf/{group}` \| `([\w.]+)` \|(.*)\|$", ARCHITECTURE.read_text(), re.MULTILINE)
    if row:
        return row[1], re.findall(r"`([\w.]+)`", row[2])
    name = group.replace("/", ".")
    return (name if group.startswith("preprocess") else f"hashhuman.{name}"), []


def belongs(target: str, package: str) -> bool:
    return f"{target}.".startswith(f"{package}.")


def made_by(group: str) -> list[str]:
    """What the options of a group make, and what presets put in their place."""
    options = [loaded(option) for option in OPTIONS if group_of(option) == group]
    presets = [loaded(option).get(group) for option in OPTIONS if group_of(option) == "experiment"]
    return targets([*options, *presets])


@pytest.mark.parametrize("group", sorted({group_of(option) for option in OPTIONS} - {"experiment"}))
def test_a_group_makes_objects_of_its_own_package(group: str):
    own, others = packages_of(group)
    made = made_by(group)
    foreign = [target for target in made if not belongs(target, own) and not belongs(target, "lightning")]
    for target in foreign:
        assert any(belongs(target, other) for other in others), f"conf/{group} belongs to {own}, and makes {target}"
    for other in others:
        assert any(belongs(target, other) for target in foreign), f"conf/{group} makes nothing of {other}"
    assert not made or len(foreign) < len(made), f"conf/{group} makes nothing of {own}"


def test_presets_change_groups():
    """Otherwise the test above would not see what they make."""
    groups = {group_of(option) for option in OPTIONS}
    plain = {"hash_grids", "completion_every"}  # numbers alone
    for option in OPTIONS:
        if group_of(option) == "experiment":
            assert loaded(option).keys() - {"defaults", *plain} <= groups


def test_groups_in_the_table_exist():
    groups = re.findall(r"^\| `conf/([\w/]+)` \| `", ARCHITECTURE.read_text(), re.MULTILINE)
    assert len(groups) > 5 and set(groups) <= {group_of(option) for option in OPTIONS}


def loaded(option: str) -> Any:
    """An option's own file, without what its defaults list brings in."""
    return OmegaConf.to_container(OmegaConf.load(CONF / f"{option}.yaml"))


@pytest.mark.parametrize("root", ROOTS)
def test_unknown_keys(root: str, composed):
    with pytest.raises(ConfigCompositionException, match="no_such_key"):
        composed(root, "no_such_key=1")


@pytest.mark.parametrize("key", ["encoder", "data.ray_sampler", "neighbors.index"])
def test_unknown_keys_that_are_forced(key: str, composed):
    config = composed("train", f"+{key}.no_such_key=1")
    with pytest.raises((InstantiationException, TypeError), match="no_such_key"):
        make_everything("train", config)


@pytest.mark.parametrize("root", ROOTS)
def test_unknown_options(root: str, composed):
    group = next((key for key in choices(root) if not key.startswith("hydra/") and "@" not in key), "hydra/launcher")
    with pytest.raises(ConfigCompositionException, match="no_such_option"):
        composed(root, f"{group}=no_such_option")


def test_poses_are_fixed_where_the_experiment_trains_on_the_cpu(composed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train, "default_experiment", lambda: "fast")  # a machine with a GPU
    for overrides, target in (
        ([], "RefinedPoses"),
        (["experiment=cpu"], "FixedPoses"),
        (["data=synthetic"], "FixedPoses"),
    ):
        assert composed("train", *overrides).pose.table._target_.endswith(target)
