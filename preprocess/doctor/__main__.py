"""Says what may go wrong before it does: python -m preprocess.doctor video=foo. Options: conf/preprocess.yaml.

Exit status: 0 if nothing is bad, 1 if something is, 2 if the video or an option does not exist.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from hashhuman.cli import hydra_main

VERDICTS: list[bool] = []  # of each video of a multirun: whether something is bad


def main(config: DictConfig) -> None:
    """Examines machine, clip and, once the subject is finished, its fit."""
    from hydra.utils import instantiate  # after Hydra has checked the command line
    from rich.console import Console

    from preprocess.doctor.examine import examine
    from preprocess.doctor.table import PAGE, print_table
    from preprocess.findings import Verdict, worst
    from preprocess.pipeline import subject_folder

    workspace = Path(config.workspace)
    subject = subject_folder(config.video, workspace, config.subject)
    findings = examine(config.preprocess, instantiate(config.body), subject, workspace)
    print_table(findings, Console(width=None if sys.stdout.isatty() else PAGE))
    VERDICTS.append(worst(findings) is Verdict.BAD)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../../conf", config_name="preprocess", path_option="video")
    sys.exit(any(VERDICTS))
