"""Trains and evaluates an avatar from a video or a subject folder.

`python train.py --help` says how to call it. Options: conf/train.yaml and the groups in the same folder.
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from hashhuman.cli import hydra_main, lean_imports, results, start


def main(config: DictConfig) -> None:
    """Prepares the subject, trains, evaluates."""
    with lean_imports.without_garbage_collection():
        from hashhuman.training import resume, run  # after Hydra has checked the command line: this takes seconds

    config = resume.chosen(config)
    print(start.describe_start(config), flush=True)
    run.train(config)


def default_experiment() -> str:
    """The preset that suits this machine."""
    with lean_imports.without_garbage_collection():
        import torch

    return "fast" if torch.cuda.is_available() else "cpu"


def default_pose(data: str, experiment: str | None) -> str:
    """Poses that were fitted to a video are refined, where a GPU makes this cheap; those of other data are given.

    `experiment` is None unless the command line names one.

    On a CPU, refining takes several times as long as the rest of a step, whose few rays teach the poses little.
    """
    if data != "monocular" or experiment == "cpu":
        return "fixed"
    return "refined" if default_experiment() == "fast" else "fixed"


def default_launcher() -> str:
    """The launcher of sweeps: in parallel on a host with several GPUs, else one run after another."""
    with lean_imports.without_garbage_collection():
        import torch

    return "gpus" if torch.cuda.device_count() > 1 else "basic"


def subject_folder(video: str, workspace: str, subject: str | None) -> str:
    """The subject folder of a video."""
    from preprocess import pipeline

    return str(pipeline.subject_folder(str(video), Path(str(workspace)), subject))


def run_folder(time: str, *, _root_: DictConfig) -> str:
    """The run folder: that of `resume=FOLDER`, else outputs/SUBJECT/TIME."""
    resumed = OmegaConf.select(_root_, "resume")
    return resumed if isinstance(resumed, str) else f"outputs/{Path(_root_.data.root).name}/{time}"


def register_resolvers() -> None:
    """Registers the functions that conf/train.yaml calls."""
    OmegaConf.register_new_resolver("default_experiment", default_experiment, replace=True)
    OmegaConf.register_new_resolver("default_pose", default_pose, replace=True)
    OmegaConf.register_new_resolver("default_launcher", default_launcher, replace=True)
    OmegaConf.register_new_resolver("subject_folder", subject_folder, replace=True)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)


if __name__ == "__main__":
    register_resolvers()
    hydra_main.run(main, config_path="conf", config_name="train", path_option="video", result=results.METRICS)
