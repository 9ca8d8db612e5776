"""Building the objects of a config, and loading a trained run."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

import train
from hashhuman.cli.hydra_main import explain
from hashhuman.errors import UserError
from hashhuman.io import checkpoint
from hashhuman.network.torch_mlp import TorchMLPs
from hashhuman.training import run, run_folder
from hashhuman.training.manifest import Manifest
from tests.tiny import SMALL, TOY

CONF = Path(__file__).parents[3] / "conf"


def composed(root: Path, *overrides: str) -> DictConfig:
    """The config of a tiny run on the subject in `root`, with `overrides`."""
    train.register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", ["data=zju_mocap", f"data.root={root}", *SMALL, *TOY, *overrides])


@pytest.fixture
def saved(toy_folder: Path, tmp_path: Path) -> tuple[Path, DictConfig, torch.nn.Module]:
    """A run folder as training writes it, with an untrained avatar for which part of space is marked as empty."""
    torch.manual_seed(0)
    config = composed(toy_folder, f"run_dir={tmp_path / 'run'}")
    module, _ = run.build(config)
    cells = module.avatar.occupancy.marked.view(5, 16, 16, 16)
    cells[:, :, 8:] = 0
    run_folder.save_config(tmp_path / "run", config)
    checkpoint.save(tmp_path / "run" / run_folder.CHECKPOINT, {"state_dict": module.state_dict()})
    manifest = Manifest.new(run_folder.digest(run_folder.content_of(config)))
    manifest.add(tmp_path / "run", [tmp_path / "run" / name for name in (run_folder.CONFIG, run_folder.CHECKPOINT)])
    manifest.trained = True
    manifest.save(tmp_path / "run")
    return tmp_path / "run", config, module


def test_a_run_loads_as_it_was_saved(saved):
    folder, config, module = saved
    torch.manual_seed(1)
    loaded, data, its_config = run.load(folder)
    assert not loaded.training and its_config.data.root == config.data.root
    view = data.view(data.splits["novel_view"][0])
    here, there = (m.eval().avatar.render_image(view.camera, view.pose, view.frame) for m in (module, loaded))
    torch.testing.assert_close(there.rgb, here.rgb)
    torch.testing.assert_close(there.alpha, here.alpha)
    loaded.avatar.occupancy.marked.fill_(1)
    whole = loaded.avatar.render_image(view.camera, view.pose, view.frame)
    assert 0 < here.alpha.sum() < 0.9 * whole.alpha.sum()  # what was found empty stays so


def test_a_subject_that_has_moved(saved, toy_copy):
    folder, _, _ = saved
    _, data, config = run.load(folder, OmegaConf.create({"data": {"root": str(toy_copy), "val_views": 1}}))
    assert data.subject.root == toy_copy and data.val_views == 1 and config.data.batches_per_epoch == 500


def test_weights_that_do_not_fit(saved, toy_copy):
    folder, _, _ = saved
    changes = {"data": {"root": str(toy_copy)}, "renderer": {"occupancy": {"resolution": 8}}}
    with pytest.raises(UserError, match=rf"last.ckpt does not fit its config and {toy_copy}: correct data.root"):
        run.load(folder, OmegaConf.create(changes))


def test_folders_that_are_no_finished_run(saved, tmp_path):
    folder, _, _ = saved
    with pytest.raises(UserError, match=r"nothing is not a finished run, since .*config.json is missing"):
        run.load(tmp_path / "nothing")
    weights = folder / run_folder.CHECKPOINT
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"last.ckpt has changed since it was written .*: train the run again"):
        run.load(folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"is not a finished run, since .*last.ckpt is missing"):
        run.load(folder)


def test_hash_tables_have_the_configured_size(toy_folder):
    overrides = ("encoder.log2_hashmap_size=6", "field.parts.head.grid.log2_hashmap_size=4")
    avatar = run.build(composed(toy_folder, *overrides))[0].avatar
    specs = dict(zip(avatar.field.names, avatar.field.encoder.specs, strict=True))
    sizes = {name: spec.log2_hashmap_size for name, spec in specs.items()}
    assert sizes == {"body": 6, "leg": 6, "head": 4, "larm": 6, "rarm": 6}
    for name, spec in specs.items():
        assert max(level.size for level in spec.levels()) == 2 ** sizes[name]
    assert avatar.field.encoder.table.shape == (sum(spec.n_entries for spec in specs.values()), 4)


def test_options_reach_what_they_configure(toy_folder):
    overrides = ("deformer=uv_time", "field=single", "network=torch", "data.train_frames=4", "avatar.prune_after=null")
    module, data = run.build(composed(toy_folder, *overrides))
    avatar = module.avatar
    assert avatar.field.names == ["whole"] and len(avatar.part_points[0]) == 40
    assert type(avatar.field.color_network) is type(avatar.residual.network) is TorchMLPs
    assert avatar.field.density_network.width == 16 and avatar.field.shading.kernels == avatar.kernels == "auto"
    assert avatar.occupancy.resolution == 16 and len(avatar.occupancy.marked) == 16**3
    assert (avatar.prune_after, avatar.prune_every) == (None, 50)
    assert avatar.residual.n_frames == 4 == len(data.train_frames)
    assert avatar.skinning.reach == data.reach == 0.3
    scene = avatar.scene(data.train_poses, [0, 1, 2, 3])
    assert scene.index.neighbors.reach == 0.4 and scene.index.shell.voxel == 0.1
    assert (avatar.sampler.step, avatar.sampler.per_bin) == (0.06, 2)
    rays, learned = {"color", "mask", "sparsity", "distortion"}, {"residual_size", "residual_smoothness"}
    assert set(module.losses) == rays | learned | {"completion", "exposure", "pose_smoothness", "pose_distance"}


def test_bodies_are_thinned(toy_folder):
    config = composed(toy_folder, "neighbors.max_points=20", "field=single")
    avatar = run.build(config)[0].avatar
    assert len(avatar.template.vertices) <= 20 and len(avatar.part_points[0]) == len(avatar.template.vertices)


def test_no_such_subject(tmp_path):
    with pytest.raises(InstantiationException) as raised:
        run.build(composed(tmp_path / "nowhere"))
    sentence = explain(raised.value)
    assert sentence and sentence.startswith(f"There is no subject folder {tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("budget_s=x", "budget_s=x is not a number"),
        ("trainer.max_steps=abc", r"trainer\.max_steps=abc is not a number"),
        ("seed=true", "seed=True is not a number"),
        ("trainer.accelerator=gpu", "needs a GPU, and PyTorch sees none: use experiment=cpu"),
        ("encoder=triton", "encoder=triton needs a CUDA device"),
        ("network=triton", "network=triton needs a CUDA device"),
        ("step=graph", "needs a GPU: use step=eager"),
        ("field.parts.body=null", r"field\.parts\.body has no joints"),
        ("kernels=tpu", "kernels=tpu is none of auto, triton, numba and torch"),
        ("data.train_cameras=0", r"data\.train_cameras=0 must be a list"),
    ],
)
def test_late_failures_are_refused_at_once(toy_folder, tmp_path, monkeypatch, override, sentence):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)  # with it, kernels run on a CPU too
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=sentence):
        run.train(composed(toy_folder, override, f"run_dir={tmp_path}"))
    assert not list(tmp_path.iterdir())
    run.check_config(composed(toy_folder, "trainer.accelerator=cpu", "budget_s=0.5", f"run_dir={tmp_path}"))
