"""Several processes that train one avatar. `tests/test_train.py` starts them as the command line does."""

import contextlib
import copy
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import lightning as L
import pytest
import torch
import torch.distributed as dist
from omegaconf import OmegaConf
from torch import nn

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.avatar.prediction import Prediction
from hashhuman.cli import ddp_worker
from hashhuman.data.batch import RayBatch
from hashhuman.data.pixels import PixelStore
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.geometry.rays import Rays
from hashhuman.training import ddp, losses
from tests import toy
from tests.hashhuman import small
from tests.hashhuman.data.test_datamodule import made as data_module
from tests.hashhuman.data.test_pixels import training_picture
from tests.hashhuman.training.test_carve import MILD, callback
from tests.hashhuman.training.test_lit_module import made as lit_module
from tests.processes import PATIENCE, ends

RANKS = 2


def fork(job, *arguments) -> list[int]:
    """Runs `job(rank, *arguments)` in two forked processes of one group. Returns their exit codes."""
    context = multiprocessing.get_context("fork")
    port = str(ddp._free_port())

    def work(rank: int) -> None:
        os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        job(rank, *arguments)

    processes = [context.Process(target=work, args=(rank,)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    return [process.exitcode for process in processes]


def gradients(avatar: HashGridAvatar, batch: RayBatch) -> dict[str, torch.Tensor]:
    """Backward through the losses of a batch, as a step does."""
    scene = avatar.scene([toy.pose(frame) for frame in range(3)], [0, 1, 2])
    outputs = avatar.render_rays(batch.rays, scene, jitter=False)
    terms = {"color": losses.ColorLoss(1.0), "mask": losses.MaskLoss(0.5), "distortion": losses.DistortionLoss(0.1)}
    losses.weighted_sum(terms, Prediction(batch, outputs.rendering))[0].backward()
    return {name: p.grad.clone() for name, p in avatar.named_parameters() if p.grad is not None}


def halves(batch: RayBatch) -> list[RayBatch]:
    half = len(batch.mask) // 2
    parts = (slice(None, half), slice(half, None))
    return [
        RayBatch(
            Rays(batch.rays.rays_o[p], batch.rays.rays_d[p], batch.rays.frames[p]),
            batch.color[p], batch.mask[p], batch.background[p],
        )
        for p in parts
    ]  # fmt: skip


def averaged(rank: int, avatar: nn.Module, parts: list[RayBatch], folder: Path) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    gradients(avatar, parts[rank])
    ddp.average_gradients(avatar.parameters())
    torch.save({name: p.grad for name, p in avatar.named_parameters()}, folder / f"{rank}.pt")


def test_the_averaged_gradient_is_that_of_the_union(toy_folder, tmp_path):
    torch.manual_seed(0)
    subject = Subject(toy_folder)
    pictures = [training_picture(subject, picture) for picture in subject.pictures if picture.frame < 3]
    batch = RaySampler(256, {"body": 0.6, "surround": 0.4}, 0, 8, "random").draw(PixelStore.build(pictures, 0.2, "cpu"))
    batch = RayBatch(batch.rays, batch.color, batch.mask, batch.background)
    avatar = small.avatar(reach=0.2)
    expected = gradients(copy.deepcopy(avatar), batch)
    parts = halves(batch)
    alone = gradients(copy.deepcopy(avatar), parts[0])
    assert fork(averaged, avatar, parts, tmp_path) == [0, 0]
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]
    scale = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[0][name], gradient, rtol=1e-4, atol=1e-5 * scale)
        assert torch.equal(found[0][name], found[1][name])
    assert any((alone[name] - expected[name]).abs().max() > 0.01 * scale for name in expected)  # halves differ


def mixed(rank: int) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    single, double, absent, frozen = (nn.Parameter(torch.zeros(2, 3)) for _ in range(4))
    double.data = double.data.double()
    frozen.requires_grad_(False)
    single.grad, double.grad = torch.full((2, 3), 1.0 + rank), torch.full((2, 3), 10.0 * rank, dtype=torch.float64)
    if rank:
        absent.grad = torch.ones(2, 3)
    kept = single.grad
    ddp.average_gradients([single, double, absent, frozen])
    assert single.grad is kept  # in place, because a captured step keeps reading there
    assert single.grad.eq(1.5).all() and double.grad.eq(5).all() and double.grad.dtype == torch.float64
    assert absent.grad.eq(0.5).all() and frozen.grad is None


def test_gradients_of_several_kinds():
    assert fork(mixed) == [0, 0]


def mixed_in_bfloat16(rank: int) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    generator = torch.Generator().manual_seed(0)
    both = torch.randn(RANKS, 500, 3, generator=generator) * torch.logspace(-30, 0, 500)[:, None]
    single, double = nn.Parameter(torch.zeros(500, 3)), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    single.grad, double.grad = both[rank].clone(), torch.full((2,), 1 / 3 + rank, dtype=torch.float64)
    kept = single.grad
    ddp.average_gradients([single, double], torch.bfloat16)
    assert single.grad is kept and single.grad.dtype == torch.float32
    error, size = (single.grad - both.mean(0)).abs(), both.abs().amax(0)
    assert (error <= size / 128).all() and error.any()  # 8 bits of mantissa, of numbers of any size
    assert torch.allclose(double.grad, torch.full((2,), 1 / 3 + 0.5, dtype=torch.float64), rtol=1e-12)  # as they are
    gathered = [torch.empty_like(single.grad) for _ in range(RANKS)]
    dist.all_gather(gathered, single.grad)
    assert torch.equal(*gathered)


def test_gradients_travel_with_half_the_bytes_and_arrive_alike():
    assert fork(mixed_in_bfloat16) == [0, 0]


def test_an_unknown_dtype_of_sums_is_refused():
    with pytest.raises(UserError, match="sum_dtype=float8"):
        ddp.AveragingStrategy.require("float8")


def test_few_rays_are_told(capsys):
    ddp.advise(ddp.FEW_RAYS + 1)
    assert not capsys.readouterr().out
    ddp.advise(16384)
    assert "16384 rays" in capsys.readouterr().out


def trained(rank: int, root: Path, folder: Path) -> None:
    """Trains in one of several processes, with a callback that begins the field with places of its own."""
    module, data = lit_module(), data_module(root, train_frames=4, reach=0.2)
    carve = callback(MILD, begin_steps=2)
    for parameter in module.parameters():
        parameter.data += rank  # what another seed would do
    drawn, draw = [], RaySampler.draw
    RaySampler.draw = lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1]
    L.seed_everything(rank, verbose=False)
    trainer = L.Trainer(
        accelerator="cpu", devices=RANKS, strategy=ddp.AveragingStrategy("bfloat16"), max_steps=5, max_epochs=-1,
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        use_distributed_sampler=False, num_sanity_val_steps=0, callbacks=[carve],
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    assert (trainer.world_size, trainer.global_rank, trainer.global_step) == (RANKS, rank, 5)
    rays = torch.cat([batch.rays.rays_d for batch in drawn])
    torch.save({"rays": rays, **dict(module.named_parameters())}, folder / f"{rank}.pt")


def test_parameters_stay_equal_while_rays_differ(toy_folder, tmp_path):
    assert fork(trained, toy_folder, tmp_path) == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(RANKS))
    mine, theirs = first.pop("rays"), second.pop("rays")
    assert len(mine) == len(theirs) == 5 * 64 // RANKS  # together, what one process draws
    assert not torch.isin(mine[:, 0], theirs[:, 0]).all()
    untrained = dict(lit_module().named_parameters())
    assert first.keys() == second.keys() == untrained.keys()
    for name in untrained:
        assert torch.equal(first[name], second[name])
    moved = [name for name, start in untrained.items() if not torch.equal(first[name], start)]
    assert moved and all((first[name] - untrained[name]).abs().max() < 0.2 for name in moved)  # from rank 0's start


def test_a_module_without_an_optimizer_of_its_own():
    class Plain(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def training_step(self, batch):
            return self.weight.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = L.Trainer(accelerator="cpu", strategy=ddp.AveragingStrategy(), logger=False, enable_checkpointing=False)
    with mock.patch.dict(os.environ):  # Lightning adds LOCAL_RANK=0 and more, and leaves them there
        try:
            with pytest.raises(UserError, match="has none"):
                trainer.fit(Plain(), [torch.zeros(1)])
        finally:
            dist.destroy_process_group()


def taking_part(scripts: list[str], work) -> int | None:
    """The exit code of a process that calls `work` while others run the scripts; None if it did not end."""

    def first() -> None:
        os.environ.pop("LOCAL_RANK", None)
        ddp._start = lambda place, text: subprocess.Popen([sys.executable, "-c", scripts[place - 1]])
        with ddp.processes(OmegaConf.create({}), len(scripts) + 1):
            work()

    process = multiprocessing.get_context("fork").Process(target=first)
    process.start()
    process.join(PATIENCE)
    code = process.exitcode
    process.kill()
    return code


def test_the_failure_of_a_process_ends_all_with_a_message(tmp_path, capfd):
    """While this process waits in a call that cannot be interrupted, and another one would run for minutes."""
    note = tmp_path / "pid"
    write = f"open('{note} begun', 'w').write(str(os.getpid())); os.rename('{note} begun', {str(note)!r})"
    lasting = f"import os, time; {write}; time.sleep(600)"
    failing = f"import os, time\nwhile not os.path.exists({str(note)!r}): time.sleep(0.01)\nraise SystemExit(3)"
    assert taking_part([failing, lasting], lambda: time.sleep(600)) == 3
    assert "Process 1 of 3 of this run ended with status 3" in capfd.readouterr().err
    assert ends(int(note.read_text()))


def test_a_broken_collective_is_blamed_on_the_process_that_failed(capfd, monkeypatch):
    monkeypatch.setattr(ddp, "GRACE", PATIENCE)

    def work() -> None:
        raise RuntimeError("Connection closed by peer")

    code = taking_part(["import time; time.sleep(0.3); raise SystemExit(2)"], work)
    assert code == 2 and "Process 1 of 2" in capfd.readouterr().err


@pytest.mark.parametrize("left_behind", [None, "0"])
def test_an_error_of_the_first_ends_the_others(monkeypatch, left_behind):
    """Also if an earlier training left its rank in the environment."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if left_behind:
        monkeypatch.setenv("LOCAL_RANK", left_behind)
    monkeypatch.setattr(ddp, "GRACE", 0.1)
    others = []

    def start(place: int, text: str) -> subprocess.Popen:
        others.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]))
        return others[-1]

    monkeypatch.setattr(ddp, "_start", start)
    monkeypatch.setattr(ddp, "_watch", lambda others, place, ending: None)
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), ddp.processes(OmegaConf.create({}), 2):
        assert os.environ["LOCAL_RANK"] == "0" and ddp.rank() == 0
        raise ZeroDivisionError
    assert len(others) == 1 and others[0].wait(PATIENCE) != 0 and dict(os.environ) == before


def test_under_torchrun_no_process_is_started(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")  # as torchrun itself sets it
    monkeypatch.setattr(ddp, "_start", None)
    before = dict(os.environ)
    with ddp.processes(OmegaConf.create({}), 2):
        assert dict(os.environ) == before


def test_workers_start_no_processes_and_end_with_rank_0(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(ddp, "_start", None)
    with ddp.processes(OmegaConf.create({}), 2):
        assert ddp.rank() == 1
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(writer)
        with contextlib.suppress(BaseException):
            os.dup2(reader, 0)
            sys.stdin = os.fdopen(0)
            ddp_worker._end_with_rank_0()
        os._exit(9)
    os.close(writer)  # as when the first process is gone
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_one_process_starts_no_others(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with ddp.processes(OmegaConf.create({}), 1):
        assert "LOCAL_RANK" not in os.environ
