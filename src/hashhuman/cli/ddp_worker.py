"""The worker process of data-parallel training (`training/ddp.py`): `python -m hashhuman.cli.ddp_worker`.

It reads the run's config as a line of JSON from its standard input, then trains.
"""

import json
import os
import sys
import threading

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main
from hashhuman.io import interruption
from hashhuman.training import run
from hashhuman.training.ddp import rank


def main() -> None:
    """Trains as one of the processes with rank above 0."""
    interruption.ignore()  # signals reach all processes; this one ends with rank 0, which saves
    config = OmegaConf.create(json.loads(sys.stdin.readline()))
    assert isinstance(config, DictConfig)
    threading.Thread(target=_end_with_rank_0, daemon=True).start()
    try:
        run.train(config)
    except Exception as error:
        if (sentence := hydra_main.explain(error)) is None:
            raise
        print(f"process {rank()}: {sentence}", file=sys.stderr)
        sys.exit(2)


def _end_with_rank_0() -> None:
    os.read(sys.stdin.fileno(), 1)  # there is no more input, so this returns when the process of rank 0 ends
    os._exit(1)


if __name__ == "__main__":
    main()
