"""Parses pictures of a subject with Self-Correction Human Parsing and prints the seconds a picture and the memory.

    python benchmarks/schp.py SUBJECT [--checkpoint FILE] [--pictures 5] [--threads 1]

Without a checkpoint the weights are random, which takes the same time. Every row runs in a separate process, so that
its memory can be measured: the largest resident size of the process, and on a GPU also the largest allocation on the
device. The seconds are those of the parser (crop, network, labels at full size), by the wall clock and as CPU time of
all cores, after one picture for warm-up.
"""

import argparse
import concurrent.futures
import multiprocessing
import platform
import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from hashhuman.data.subject import Subject
from preprocess.masks.schp.checkpoint import load_network
from preprocess.masks.schp.labels import LABEL_SETS
from preprocess.masks.schp.network import AugmentedCE2P
from preprocess.masks.schp.parser import Parser
from preprocess.masks.schp.person import PersonBoxes

ROWS = (
    ("lip", (1.0,), False),
    ("lip", (1.0,), True),
    ("lip", (0.75, 1.0, 1.25), True),
    ("atr", (1.0,), True),
    ("pascal", (1.0,), True),
)


def measure(key: str, scales: tuple[float, ...], flip: bool, arguments: argparse.Namespace) -> list[str]:
    """One row of the table."""
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    labels, subject = LABEL_SETS[key], Subject(arguments.subject)
    if arguments.checkpoint:
        network = load_network(arguments.checkpoint, labels)
    else:
        network = AugmentedCE2P(len(labels)).eval()
    parser, boxes = Parser(network.to(device), labels, scales, flip, device=device), PersonBoxes(subject)
    chosen = subject.pictures[:: max(1, len(subject.pictures) // arguments.pictures)][: arguments.pictures]
    images = [(subject.image(picture), box) for picture in chosen if (box := boxes(picture)) is not None]
    parser(*images[0])
    start, busy = time.perf_counter(), time.process_time()
    for image, box in images:
        parser(image, box)
    seconds = [
        f"{(now - then) / len(images):.2f}" for now, then in ((time.perf_counter(), start), (time.process_time(), busy))
    ]
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    allocated = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    sizes = " x ".join(map(str, images[0][0].shape[1::-1]))
    row = [key, ", ".join(map(str, scales)), "yes" if flip else "no", sizes, *seconds, f"{resident:.2f}"]
    return [*row, f"{allocated:.2f}"] if allocated else row


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", type=Path, help="a subject folder with pictures and bodies")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint with LIP's classes; measures only their rows")
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = []
    for row in ROWS:
        if arguments.checkpoint is None or row[0] == "lip":
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
                rows.append(pool.submit(measure, *row, arguments).result())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(f"{device}, CPU threads: {arguments.threads}, PyTorch {torch.__version__}\n")
    columns = ["classes", "scales", "mirror image", "picture", "s a picture", "CPU s", "resident GiB", "GPU GiB"]
    for cells in (columns[: len(rows[0])], ["---"] * len(rows[0]), *rows):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
