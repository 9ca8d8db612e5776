"""`python -m hashhuman.cli.ddp_worker` is one of a run's further processes.

It reads the config as a line of JSON, then trains (`ddp.py`).
"""

import json
import os
import signal
import sys
import threading

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main
from hashhuman.training import run
from hashhuman.training.ddp import rank


def main() -> None:
    """One of the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; this one ends with the first
    config = OmegaConf.create(json.loads(sys.stdin.readline()))
    assert isinstance(config, DictConfig)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    try:
        run.train(config)
    except Exception as error:
        if (sentence := hydra_main.explain(error)) is None:
            raise
        print(f"process {rank()}: {sentence}", file=sys.stderr)
        sys.exit(2)


def _end_with_the_first() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more comes: this returns when the first process is gone
    os._exit(1)


if __name__ == "__main__":
    main()
