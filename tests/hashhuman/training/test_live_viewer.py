"""Training with a tab that looks at it."""

import contextlib
import threading
import time
from types import SimpleNamespace
from unittest.mock import create_autospec

import lightning as L
import pytest
import torch

from hashhuman.training.callbacks import LiveViewer
from hashhuman.view.mesh import BodyMesh
from tests.hashhuman.export.solid import SolidAvatar, SolidData


class Looked:
    """Serves to a tab that takes every turn, and notes in which thread and mode the avatar was used."""

    def __init__(self) -> None:
        self.used: list[tuple[bool, bool]] = []  # whether the training thread was stopped, and whether it trains
        self.stepping = threading.Event()
        self.open = self.closed = False

    @contextlib.contextmanager
    def serving(self, subject, mesh, turns, live):
        assert live and subject.folder is None and len(mesh.pieces()) == 1
        self.open, stop = True, threading.Event()

        def tab() -> None:
            while not stop.is_set():
                with turns.mine(0.01) as mine:
                    if mine:
                        self.used.append((not self.stepping.is_set(), subject.avatar.training))

        thread = threading.Thread(target=tab)
        thread.start()
        try:
            yield "http://localhost:1"
        finally:
            stop.set()
            thread.join(10)
            self.closed = True


def trained(folder, viewer, share: float, ends: bool = True, rank: int = 0) -> LiveViewer:
    callback = LiveViewer(viewer, BodyMesh(), 10.0, share)
    module = SimpleNamespace(avatar=SolidAvatar(), device=torch.device("cpu"))
    trainer = create_autospec(L.Trainer, instance=True, is_global_zero=rank == 0, datamodule=SolidData(folder))
    callback.on_train_start(trainer, module)
    for _ in range(60):
        viewer.stepping.set()
        time.sleep(0.002)
        viewer.stepping.clear()
        callback.on_train_batch_end(trainer, module)
    (callback.on_train_end if ends else lambda *_: callback.on_exception(trainer, module, KeyboardInterrupt()))(
        trainer, module
    )
    assert module.avatar.training
    return callback


@pytest.mark.parametrize("ends", [True, False])
def test_the_avatar_is_used_between_steps_and_as_in_evaluation(toy_folder, capsys, ends):
    viewer = Looked()
    trained(toy_folder, viewer, share=1.0, ends=ends)
    assert len(viewer.used) > 3 and set(viewer.used) == {(True, False)}
    assert viewer.closed and "training is shown at http://localhost:1" in capsys.readouterr().out


def test_other_processes_show_nothing(toy_folder):
    viewer = Looked()
    trained(toy_folder, viewer, share=1.0, rank=1)
    assert not viewer.open and not viewer.used
