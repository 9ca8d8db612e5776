"""The callback that carves: what it hands to the avatar, and what happens to the avatar's cells."""

import lightning as L
import pytest
import torch

from hashhuman.avatar.beginning import CLEARANCE, LENGTH
from hashhuman.avatar.carving import Carving
from hashhuman.body import visibility
from hashhuman.errors import UserError
from hashhuman.geometry.rays import camera_rays
from hashhuman.training.callbacks import Carve
from hashhuman.training.callbacks.carve import filmed
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_datamodule import made

MILD = Carving(share=0.5, least=3, margin=1.0, slack=0.01)
EAGER = Carving(share=0.0, least=1, margin=0.0, slack=0.0)


def callback(carving: Carving, **changes) -> Carve:
    options = {"pictures": 10, "views": 10, "least_views": 1, "read_after": 2, "read_every": 3}
    return Carve(carving, **(options | changes))


def carved(folder, *settings: Carving):
    """The toy's avatar and scene, carved once with each of the settings."""
    data, avatar = made(folder), small.avatar(n_frames=6)
    scene = avatar.prepare(data.train_poses)
    for carving in settings:
        callback(carving).carve(avatar, scene, data)
    return avatar, scene


def test_cells_are_carved_and_come_back(toy_folder):
    mild, eager, both = (carved(toy_folder, *settings)[0] for settings in ((MILD,), (EAGER,), (EAGER, MILD)))
    counts = [int(avatar.occupancy.allowed.sum()) for avatar in (mild, eager)]
    assert 0 < counts[1] < counts[0] < mild.occupancy.allowed.numel()
    assert torch.equal(both.occupancy.allowed, mild.occupancy.allowed)
    assert torch.equal(both.occupancy.marked, mild.occupancy.marked)


def test_carved_cells_are_never_marked_again(toy_folder):
    avatar, scene = carved(toy_folder, MILD)
    avatar.prune(scene)
    assert avatar.occupancy.marked.any() and not (avatar.occupancy.marked & ~avatar.occupancy.allowed & 1).any()


def test_fewer_places_are_evaluated(toy_folder):
    rays = camera_rays(toy.camera(0), torch.device("cpu"))
    counts = []
    for settings in ((), (EAGER,)):
        avatar, scene = carved(toy_folder, *settings)
        counts.append(int(avatar.render_rays(rays, scene).pairs.rows.used.sum()))
    assert 0 < counts[1] < 0.9 * counts[0]


def test_carving_again_keeps_the_surface_in_place(toy_folder):
    data, avatar = made(toy_folder), small.avatar(n_frames=6)
    scene = avatar.prepare(data.train_poses)
    callback(MILD).carve(avatar, scene, data)
    first = avatar.surface
    assert first is not None
    ceiling = first.ceiling.clone()
    callback(EAGER).carve(avatar, scene, data)
    assert avatar.surface is first and not torch.equal(first.ceiling, ceiling)


def test_what_was_filmed(toy_folder):
    data, avatar = made(toy_folder), small.avatar(n_frames=6)
    views = [(data.subject.camera(0), data.subject.pose(frame)) for frame in range(6)]
    each = torch.stack([visibility.seen_vertices(data.subject.template(), [view]) for view in views]).sum(0)
    for least in (1, 3):
        assert torch.equal(filmed(avatar, data, 10, least), each >= least)
    assert torch.equal(filmed(avatar, data, 2, 1), visibility.seen_vertices(data.subject.template(), views[::3]))
    assert 0 < (each == 0).sum() < 40 or (each >= 3).sum() < 40


class Steps(L.LightningModule):
    """An avatar whose steps learn nothing."""

    def __init__(self, avatar, scene) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.avatar, self.scene, self.read = avatar, scene, []

    def on_train_batch_start(self, batch, batch_idx: int) -> None:
        """Counts readings instead of making them."""
        self.avatar.surface.read = lambda field: self.read.append(self.global_step)

    def training_step(self, batch, batch_idx: int) -> None:
        """Counts as a step."""
        self.optimizers().step()  # type: ignore[union-attr]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Changes nothing."""
        return torch.optim.SGD(self.avatar.parameters(), 0.0)


def test_the_surface_is_read_at_its_steps(toy_folder, tmp_path):
    data, avatar = made(toy_folder, batches_per_epoch=10), small.avatar(n_frames=6)
    module = Steps(avatar, avatar.prepare(data.train_poses))
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(
        accelerator="cpu", default_root_dir=tmp_path, max_steps=10, callbacks=[callback(MILD)],
        limit_val_batches=0, **quiet,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert module.read == [3, 6, 9]


def test_an_avatar_that_cannot_be_carved_is_one_sentence():
    module: Any = L.LightningModule()
    module.avatar = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match=r"needs an avatar with a method `carve`: use callbacks.carve=null"):
        callback(MILD).on_train_start(L.Trainer(logger=False, enable_checkpointing=False), module)


def test_a_new_field_begins_as_the_body_and_a_continued_one_stays(toy_folder):
    data = made(toy_folder)

    def begun(steps: int, read: bool):
        avatar = small.avatar(n_frames=6)
        scene = avatar.prepare(data.train_poses)
        carve = callback(MILD, begin_steps=steps)
        torch.manual_seed(0)
        carve.begin(avatar, scene, data)
        if read:
            saved, avatar = carve.state_dict(), small.avatar(n_frames=6)
            again = callback(MILD, begin_steps=steps)
            again.load_state_dict(saved)
            again.begin(avatar, avatar.prepare(data.train_poses), data)
        return avatar

    def wrong(avatar) -> float:
        """Mean share of being filled above the body, and of being empty inside."""
        torch.manual_seed(1)
        places = avatar.surface.draw(1024)
        with torch.no_grad():
            filled = 1 - torch.exp(-avatar.field(places.pairs)[1] * LENGTH)
        return float((filled * (places.above > CLEARANCE) + (1 - filled) * (places.above < 0)).mean())

    new, body, continued = begun(0, read=False), begun(60, read=False), begun(60, read=True)
    assert wrong(body) < 0.5 * wrong(new)
    assert all(parameter.grad is None for parameter in body.parameters())
    for before, after in zip(new.parameters(), continued.parameters(), strict=True):
        assert torch.equal(before, after)
