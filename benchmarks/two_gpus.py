"""Measures what a second GPU brings to one training, and what keeps it from bringing more.

    python benchmarks/two_gpus.py SCENE [--rays 4096 16384] [--steps 2000] [--out FILE.md] [--json FILE]
                                  [-- overrides of train.py]

SCENE is a subject folder, or a scene in the ZJU-MoCap layout. Needs two GPUs. Three parts, in this order:

- One GPU with all rays of a step, on GPU 0, and with half of them, on GPU 1, side by side. No `trainer=ddp` can take
  more steps a second than the latter: that is the floor of a step.
- Two GPUs: `trainer=ddp`; with gradients that travel as float32; and without any sum, in which each process trains
  its own avatar. The difference to the floor is what two processes cost each other besides the sum.
- The sum alone, of gradients of the same sizes, captured in a CUDA graph as in training.

Steps a second are those of the second half of the steps, when sizes of the captured step have settled; PSNR is that of
the evaluated pictures at the end. Every figure is written as soon as it is known. A part that fails or exceeds its
time leaves its rows out, and the status is 1.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.overrides import cut  # noqa: E402
from benchmarks.tables import Row, finish, table  # noqa: E402
from hashhuman.training import ddp  # noqa: E402

DDP = ("trainer=ddp", "trainer.devices=2")
REPLAYS = 50


class Unsummed(ddp.AveragingStrategy):
    """Processes that share rays and wait for nobody."""

    def _average_before_update(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        pass


def callback(path: str) -> Any:
    """Notes the times of steps and the sizes of gradients in a file; as a function, since Lightning comes late."""
    import lightning as L

    class Paces(L.Callback):
        def __init__(self) -> None:
            self.begun: tuple[int, float] | None = None

        def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
            if trainer.global_step >= trainer.max_steps / 2 and self.begun is None:
                wait(pl_module.device)
                self.begun = trainer.global_step, time.perf_counter()

        def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            wait(pl_module.device)
            if not trainer.is_global_zero or self.begun is None:
                return
            step, at = self.begun
            pace = (trainer.global_step - step) / (time.perf_counter() - at)
            parameters = [p for p in pl_module.parameters() if p.requires_grad]
            largest = max(parameters, key=torch.numel)
            touched = None if largest.grad is None else float(largest.grad.flatten(1).ne(0).any(1).float().mean())
            shapes = [list(p.shape) for p in parameters]
            Path(path).write_text(json.dumps({"pace": pace, "touched": touched, "shapes": shapes}))

    return Paces()


def wait(device: torch.device) -> None:
    """Waits for the GPU, if it is one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def trained(scene: Path, overrides: Sequence[str]) -> Row:
    """Trains in this process; steps a second, PSNR, and the gradients."""
    from benchmarks.speed import QUICK, train_here

    with tempfile.TemporaryDirectory() as folder:
        paces = Path(folder, "paces.json")
        own = [
            "+callbacks.paces._target_=benchmarks.two_gpus.callback",
            f"+callbacks.paces.path={paces}",
            "eval.most=10",
            "callbacks.checkpoint.every_s=null",
        ]
        row = train_here(scene, [*QUICK, *own, *overrides], Path(folder, "run"))
        noted = json.loads(paces.read_text())
    psnr = {split: row[split] for split in row if split.endswith("psnr_full")}
    return {"steps_a_second": noted["pace"], **psnr, "peak_gib": row["peak_gib"], "setup_s": row["setup_s"]} | noted


def sum_alone(shapes: Sequence[Sequence[int]], touched: float, rank: int, port: str, say: Any) -> None:
    """One of two processes that time nothing but sums of gradients; rank 0 says the rows."""
    import torch.distributed as dist

    from hashhuman.gpu.cuda_graph import capture, on_side_stream

    cuda = torch.cuda.is_available()
    device = torch.device("cuda", rank) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    options: Any = {"device_id": device} if cuda else {}
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("nccl" if cuda else "gloo", init_method=address, rank=rank, world_size=2, **options)
    parameters = [torch.nn.Parameter(torch.zeros(*shape, device=device)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    gradients = [p.grad for p in parameters if p.grad is not None]
    numbers = sum(p.numel() for p in parameters)
    table_gradient = max(gradients, key=torch.numel)
    generator = torch.Generator().manual_seed(0)  # the same rows in both processes
    count = max(1, int(touched * len(table_gradient)))
    rows = torch.randperm(len(table_gradient), generator=generator)[:count].sort().values.to(device)

    def as_before() -> None:
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= 2
        for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))

    def of_rows() -> None:
        mine = table_gradient.index_select(0, rows).bfloat16()
        dist.all_reduce(mine)
        table_gradient.index_copy_(0, rows, mine.float() / 2)

    flats = {name: torch.zeros(numbers, dtype=dtype, device=device) for name, dtype in ddp.SUM_DTYPES.items()}
    works = {
        "float32, joined and divided by itself": as_before,
        "float32": lambda: ddp.average_gradients(parameters, torch.float32),
        "bfloat16": lambda: ddp.average_gradients(parameters, torch.bfloat16),
        "float32, the collective only": lambda: dist.all_reduce(flats["float32"]),
        "bfloat16, the collective only": lambda: dist.all_reduce(flats["bfloat16"]),
        "one number, the collective only": lambda: dist.all_reduce(flats["float32"][:1]),
        f"bfloat16, the {touched:.0%} of rows touched in a step": of_rows,
    }
    for name, work in works.items():
        if cuda:
            on_side_stream(work)
            graph, _ = capture(work)
            work = graph.replay
        milliseconds = timed(work, cuda)
        if rank == 0:
            say({"sum": name, "ms": milliseconds, "mb": numbers * 4e-6})
    dist.destroy_process_group()


def timed(work: Any, cuda: bool) -> float:
    """Milliseconds of a call, of many in a row."""
    for _ in range(5):
        work()
    if not cuda:
        begun = time.perf_counter()
        for _ in range(REPLAYS):
            work()
        return 1000 * (time.perf_counter() - begun) / REPLAYS
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    begin.record()
    for _ in range(REPLAYS):
        work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / REPLAYS


def child(job: Mapping[str, Any], rows: Path) -> None:
    """Does a job in a process of its own, and appends its rows to a file, one line each."""

    def say(row: Row) -> None:
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")

    if "shapes" in job:
        sum_alone(job["shapes"], job["touched"], job["rank"], job["port"], say)
        return
    for about, overrides in job["runs"]:
        say(about | trained(Path(job["scene"]), overrides))


def start(job: Mapping[str, Any], rows: Path, gpus: str | None) -> subprocess.Popen:
    """Starts a child in a process group of its own, on some of the GPUs (None: all)."""
    seen = {} if gpus is None or not torch.cuda.is_available() else {"CUDA_VISIBLE_DEVICES": gpus}
    seen["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "0"  # as in training: collectives are captured
    line = [sys.executable, "-m", "benchmarks.two_gpus", "--child", json.dumps(job), str(rows)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(line, cwd=ROOT, env=os.environ | seen | {"PYTHONPATH": path}, start_new_session=True)


def done(children: Sequence[subprocess.Popen], limit: float) -> bool:
    """Waits for children, at most `limit` seconds, and ends what is left of them. Whether all succeeded."""
    until = time.monotonic() + limit
    statuses = []
    for process in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
        statuses.append(process.poll())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also its workers
    return all(status == 0 for status in statuses)


def page(rows: Sequence[Row]) -> str:
    """The tables of all rows so far."""
    hidden = ("shapes", "touched", "pace")
    steps = [{k: v for k, v in row.items() if k not in hidden} for row in rows if "steps_a_second" in row]
    for row in steps:
        one = next((r for r in steps if r["gpus"] == "1" and r["rays"] == row["rays"]), None)
        row["against_one"] = row["steps_a_second"] / one["steps_a_second"] if one else None
        row["ms_a_step"] = 1000 / row["steps_a_second"]
    sums = [row for row in rows if "sum" in row]
    touched = [{k: row[k] for k in ("gpus", "rays", "touched")} for row in rows if row.get("touched") is not None]
    titled = {
        "Steps a second (second half of the steps)": steps,
        "Rows of the tables that the last step touched, as a share of 1": touched,
        "The sum of all gradients alone": sums,
    }
    return "\n\n".join(f"## {title}\n\n{table(found)}" for title, found in titled.items() if found) + "\n"


def main() -> None:
    """Parses the command line, measures, prints the tables."""
    if sys.argv[1:2] == ["--child"]:
        child(json.loads(sys.argv[2]), Path(sys.argv[3]))
        return
    known, overrides = cut(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=lambda text: Path(text).resolve())
    parser.add_argument("--rays", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--limit", type=float, default=75, help="seconds after which a part is ended")
    parser.add_argument("--out", type=Path, help="write the page here")
    parser.add_argument("--json", type=Path, help="write all rows here")
    given = parser.parse_args(known)

    def run(gpus: str, rays: int, drawn: int, *more: str) -> tuple[Row, list[str]]:
        nominal = [f"data.ray_sampler.n_rays={drawn}", f"trainer.max_steps={given.steps}"]
        return {"gpus": gpus, "rays": rays}, [*nominal, *more, *overrides]

    def job(runs: Sequence[tuple[Row, list[str]]]) -> Row:
        return {"scene": str(given.scene), "runs": runs}

    unsummed = "trainer.strategy._target_=benchmarks.two_gpus.Unsummed"
    most = max(given.rays)
    whole = [run("1", rays, rays) for rays in given.rays]
    half = [run("1, half the rays", rays, rays // 2) for rays in given.rays]
    two = [run("2", rays, rays, *DDP) for rays in reversed(given.rays)]
    two.append(run("2, float32 sums", most, most, *DDP, "trainer.strategy.sum_dtype=float32"))
    two.append(run("2, no sums", most, most, *DDP, unsummed))
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "rows")
        path.touch()

        def found() -> list[Row]:
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            if given.json:
                given.json.write_text(json.dumps(rows, indent=1) + "\n")
            if given.out:
                given.out.write_text(page(rows))
            return rows

        fine &= done([start(job(whole), path, "0"), start(job(half), path, "1")], given.limit)
        print(page(found()), file=sys.stderr, flush=True)
        fine &= done([start(job(two), path, None)], 2 * given.limit)
        shaped = next((row for row in reversed(found()) if row["shapes"]), None)
        if shaped:
            about = {"shapes": shaped["shapes"], "touched": shaped["touched"] or 1.0, "port": str(ddp._free_port())}
            fine &= done([start(about | {"rank": rank}, path, None) for rank in range(2)], given.limit)
        finish(page(found()), given.out, not fine)


if __name__ == "__main__":
    main()
