"""The examples of docs/extending.md are taken from the page and run, as a package of the user's own."""

import csv
import dataclasses
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import DictConfig

import train
from hashhuman.checks import targets
from hashhuman.checks.requirements import check_requirements
from hashhuman.cli.explain import explain
from hashhuman.cli.suggest import suggestion
from hashhuman.data.batch import RayBatch
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.io import checkpoint, files
from hashhuman.training import run, run_folder
from preprocess import __main__ as preprocessing
from preprocess.body_fit.sequence import BodySequence
from preprocess.stage_order import STAGES
from tests import toy
from tests.tiny import SMALL, TOY

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text()
BLOCKS = dict(re.findall(r"^```(?:python|yaml)\n# (my_lab/\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^```bash\n(.*?)\n```$", PAGE, re.MULTILINE)
FEW = ("trainer.max_steps=2", "log_every=1", "data.train_frames=4", "data.val_views=0", "data.cache_mb=0")


@pytest.fixture(scope="module", autouse=True)
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package that the page describes, where Python finds it."""
    folder = tmp_path_factory.mktemp("mine")
    for name, code in {**BLOCKS, "my_lab/__init__.py": "", "my_lab/conf/__init__.py": ""}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder / "my_lab"
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_lab"]:
        del sys.modules[name]


def typed(program: str, option: str) -> list[str]:
    """What the page types after a program for an option, without the subject."""
    (command,) = (shlex.split(line) for line in COMMANDS if line.startswith(f"python {program} ") and option in line)
    assert any(word.startswith("hydra.searchpath=") for word in command)
    start = 3 if command[1] == "-m" else 2
    return [word for word in command[start:] if not word.startswith(("video=", "run="))]


def composed(name: str, *overrides: str) -> DictConfig:
    """A config as the command line would make it."""
    train.register_resolvers()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(name, list(overrides))


def trained(folder: Path, subject: Path, *overrides: str) -> Path:
    """The folder of a run of two steps on the toy; the sizes of hash grids are as the preset says."""
    tiny = [option for option in (*SMALL, *TOY) if not option.startswith(("encoder.", "log_every="))]
    options = ["eval.splits=[]", f"data.root={subject}", f"run_dir='{folder}'"]
    train.main(composed("train", "data=zju_mocap", *tiny, *FEW, *overrides, *options))
    return folder


def admitted() -> targets.Register:
    """What `eval.py` admits with the `hydra.searchpath` of the page."""
    return targets.admitted() | targets.Register.of([resources.files("my_lab.conf")])


def learned(folder: Path, module: str) -> int:
    """How many parameters whose names begin with `module` differ from those of an untrained avatar; all are finite."""
    state = checkpoint.load(folder / run_folder.CHECKPOINT)["state_dict"]
    torch.manual_seed(0)
    before = run.build(run_folder.load_config(folder, admitted=admitted()))[0].state_dict()
    mine = [name for name in state if name.startswith(module)]
    assert all(state[name].isfinite().all() for name in mine)
    return sum(not torch.equal(state[name], before[name]) for name in mine)


def test_the_page_names_its_files():
    listed = set(re.findall(r"\w+\.(?:py|yaml)", PAGE.partition("```\n")[2].partition("```")[0])) - {"__init__.py"}
    assert {Path(name).name for name in BLOCKS} == listed and len(BLOCKS) == 12 and len(COMMANDS) == 6
    for name, code in BLOCKS.items():
        assert code.count("\n") <= 50 and max(map(len, code.splitlines())) <= 120, name


def test_an_encoder(toy_folder, tmp_path):
    folder = trained(tmp_path, toy_folder, *typed("train.py", "encoder="))
    assert learned(folder, "avatar.field.density_network") > 0
    module, data, config = run.load(folder, admitted=admitted())
    encoder = module.avatar.field.encoder
    assert type(encoder).__module__ == "my_lab.frequencies" and set(config.encoder) == {
        "_target_", "_partial_", "longest", "octaves",
    }  # fmt: skip
    head = module.avatar.field.names.index("head")
    waves = 2 * torch.pi * module.avatar.field.extent / encoder.scales[:, 0]  # the longest of each part
    torch.testing.assert_close(waves, torch.where(torch.arange(5) == head, 0.3, 1.0))
    view = data.view(data.splits["train"][0])
    assert module.avatar.render_image(view.camera, view.pose, view.frame).rgb.isfinite().all()
    with pytest.raises(UserError, match=r"encoder\.octaves=0 at least 1"):
        encoder.__class__([1.0], [{}], 1.0, 0)


def test_a_field(toy_folder, tmp_path):
    folder = trained(tmp_path, toy_folder, *typed("train.py", "field="), "avatar.prune_after=1", "avatar.prune_every=1")
    assert learned(folder, "avatar.field.network") == 6  # weights and biases of three layers
    avatar = run.load(folder, admitted=admitted())[0].avatar
    assert avatar.occupancy.density.isfinite().any()  # the renderer has asked where it is empty
    scene = avatar.scene([toy.pose(0)])
    color, density = avatar.query(torch.cat([scene.bodies.vertices[0], torch.full((1, 3), 9.0)]), scene)
    assert (density[:-1] > 0).all() and density[-1] == 0 and (color[:-1] > 0).all()


def test_a_loss(toy_folder, tmp_path):
    folder = trained(tmp_path, toy_folder, *typed("train.py", "loss="), "loss.normals.weight=3.0")
    with (folder / "logs/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == 2
    for row in rows:
        value = float(row["train/normals"])
        assert 0 < value < 2 and float(row["train/loss"]) > 3 * value


def test_a_loss_has_the_right_sign(toy_folder):
    """0 for a field whose density falls along the body's normals, 2 for one whose density rises."""
    config = composed("train", "data=zju_mocap", *SMALL, *TOY, f"data.root={toy_folder}", "run_dir=.")
    avatar = run.build(config)[0].avatar
    scene = avatar.prepare([toy.pose(0)])
    origin = torch.tensor([0.0, 0.2, 3.0]).expand(40, 3)
    rays_d = torch.nn.functional.normalize(scene.bodies.vertices[0] - origin)
    rays = Rays(origin, rays_d, torch.zeros(40, dtype=torch.long))
    prediction = avatar.predict(RayBatch(rays, rays_d, torch.ones(40), rays_d, None), scene)
    pairs = prediction.pairs

    class Ramp(torch.nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.slope = slope

        def unit(self, x, rows):
            return x

        def density(self, x, rows):
            return 5 + self.slope * ((x - pairs.x) * pairs.normal).sum(1)

    loss = importlib.import_module("my_lab.normals").NormalLoss(1.0, 0.01)
    for slope, value in ((-3.0, 0.0), (3.0, 2.0)):
        assert float(loss(dataclasses.replace(prediction, field=Ramp(slope)))) == pytest.approx(value, abs=1e-3)
    with pytest.raises(UserError, match="needs an avatar with a canonical field"):
        loss(dataclasses.replace(prediction, field=None))


def test_a_stage(toy_copy, tmp_path, capsys):
    subject = tmp_path / "subjects/clip"
    subject.parent.mkdir()
    toy_copy.rename(subject)
    before = Subject(subject)
    truth = [before.mask(picture) for picture in before.pictures]
    for path in [*subject.glob("mask/*/*"), *subject.glob("schp/*/*")]:
        path.unlink()
    (tmp_path / "clip.mp4").touch()
    others = [f"preprocess.{name}=null" for name in STAGES if name != "masks"]
    command = typed("-m preprocess", "preprocess/masks=")
    config = composed("preprocess", f"video={tmp_path}/clip.mp4", f"workspace={tmp_path}", *command, *others)
    preprocessing.main(config)
    assert "masks, brighter than 20" in capsys.readouterr().out
    reader = Subject(subject)
    for picture, mask in zip(reader.pictures, truth, strict=True):
        np.testing.assert_array_equal(reader.mask(picture), mask)  # the toy stands before black
        assert ((reader.parts(picture) > 0) == (mask > 0)).all()
    preprocessing.main(config)
    assert "unchanged, skipped" in capsys.readouterr().out
    config.preprocess.masks.brightness = 21
    preprocessing.main(config)
    assert "masks, brighter than 21" in capsys.readouterr().out


def test_a_body(tmp_path):
    body, path = toy.template(), tmp_path / "me.npz"
    arrays = {name: getattr(body, name).numpy() for name in ("vertices", "faces", "lbs_weights", "joints")}
    named = {"parents": np.array(body.parents), "joint_names": np.array(body.joint_names)}
    marks = {"landmark_names": np.array(["nose", "left_wrist"]), "landmark_vertices": np.array([9, 20])}
    command = [word.replace("me.npz", str(path)) for word in typed("-m preprocess", "body=")]
    config = composed("preprocess", "video=x", *command)
    with pytest.raises(UserError, match=r"body\.path=.*me\.npz does not exist"):
        check_requirements(config.preprocess.body_fit)
    files.save_npz(path, arrays | named | marks)
    check_requirements(config.preprocess.body_fit)
    stage = instantiate(config.preprocess.body_fit)
    assert path in stage.inputs(tmp_path)
    scan = stage.body()
    template = scan.template(torch.tensor([0.5]))
    torch.testing.assert_close(template.vertices, 1.5 * body.vertices)
    torch.testing.assert_close(template.joints, 1.5 * body.joints)
    pose = toy.pose(1).body_pose
    posed = scan.pose_vertices(scan.template(scan.shape_mean), pose)
    torch.testing.assert_close(posed, body.pose_vertices(pose))
    sequence = BodySequence(scan, ("nose", "left_wrist"), torch.zeros(2, 3), torch.arange(40), 1)  # as the fit has it
    with torch.no_grad():
        sequence.pose[0] = pose
    seen = sequence()
    turned = posed @ torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # facing the camera
    for mark, vertex in enumerate((9, 20)):
        offset = seen.landmarks[0, mark] - seen.joints[0, 0]
        torch.testing.assert_close(offset, turned[vertex], atol=1e-5, rtol=0)
    with pytest.raises(KeyError):
        scan.landmark_basis(("left_heel",))


def test_a_product(toy_folder, tmp_path, capsys):
    folder = trained(tmp_path / "run", toy_folder)
    command = typed("eval.py", "eval=")
    few = [f"eval.products.{product}=null" for product in ("turntable", "canonical", "comparisons")]
    evaluate = importlib.import_module("eval").main
    evaluate(composed("eval", f"run='{folder}'", "device=cpu", "eval.splits=[]", *few, *command))
    path = folder / "evaluation/strict/points.ply"
    assert f"point cloud: {path}" in capsys.readouterr().out
    header, _, body = path.read_text().partition("end_header\n")
    rows = np.loadtxt(body.splitlines())
    assert f"element vertex {len(rows)}\n" in header and len(rows) == 40
    canonical = toy.template().canonical_vertices.numpy()
    assert (np.linalg.norm(rows[:, :3] - canonical, axis=1) < 0.0301).all()
    assert (rows[:, 3:] > 0).any() and rows[:, 3:].max() <= 255
    assert files.load_json(path.with_name("metrics.json"))["point_cloud"] == {"points": 40}


def test_a_class_that_cannot_be_imported_is_one_sentence(toy_folder, tmp_path):
    for target in ("my_lab.normals.Nomal", "your_lab.x.Y"):
        with pytest.raises(ImportError) as raised:
            trained(tmp_path, toy_folder, f"+loss.mine._target_={target}")
        sentence = explain(raised.value)
        assert sentence is not None and sentence.startswith(f"{target} cannot be imported (ModuleNotFoundError")


def test_a_misspelt_option_of_ones_own_is_suggested():
    command = [*typed("train.py", "encoder="), "data=zju_mocap"]
    train.register_resolvers()
    with pytest.raises(ConfigCompositionException) as raised:
        composed("train", *command, "encoder.octave=3")
    assert suggestion(raised.value, ROOT / "conf", "train", [*command, "encoder.octave=3"]) == "encoder.octaves"
