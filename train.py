"""From a video, or a subject folder, to an avatar, its metrics and its pictures.

python train.py --help says how to call it. Options: conf/train.yaml and the groups beside it.
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main, lean_imports, results, start


def main(config: DictConfig) -> None:
    """Prepares the subject, trains, evaluates."""
    with lean_imports.uncollected():
        from hashhuman.training import run  # after Hydra has checked the command line: importing torch takes seconds

    print(start.describe_start(config), flush=True)
    run.train(config)


def default_experiment() -> str:
    """The preset that suits this machine."""
    with lean_imports.uncollected():
        import torch

    return "fast" if torch.cuda.is_available() else "cpu"


def default_launcher() -> str:
    """How the runs of a sweep are started: at once on a host with several GPUs, else one after the other."""
    with lean_imports.uncollected():
        import torch

    return "gpus" if torch.cuda.device_count() > 1 else "basic"


def subject_folder(video: str, workspace: str, subject: str | None) -> str:
    """Where the subject of a video lies."""
    from preprocess import pipeline

    return str(pipeline.subject_folder(str(video), Path(str(workspace)), subject))


def register_resolvers() -> None:
    """The functions that conf/train.yaml calls."""
    OmegaConf.register_new_resolver("default_experiment", default_experiment, replace=True)
    OmegaConf.register_new_resolver("default_launcher", default_launcher, replace=True)
    OmegaConf.register_new_resolver("subject_folder", subject_folder, replace=True)
    OmegaConf.register_new_resolver("name_of", lambda folder: Path(str(folder)).name, replace=True)


if __name__ == "__main__":
    register_resolvers()
    hydra_main.run(main, config_path="conf", config_name="train", path_option="video", result=results.METRICS)
