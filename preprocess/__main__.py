"""From a video to a subject folder: python -m preprocess video=foo. Options: conf/preprocess.yaml."""

from pathlib import Path

from omegaconf import DictConfig

from hashhuman.cli import hydra_main, lean_imports
from hashhuman.io import lock


def main(config: DictConfig) -> None:
    """Makes the subject folder of `video`, or what it lacks."""
    with lean_imports.without_garbage_collection():
        from preprocess.pipeline import Preprocessing, subject_folder  # after Hydra has checked the command line

    subject = subject_folder(config.video, Path(config.workspace), config.subject)
    with lock.alone(subject):  # another command may prepare the same subject
        Preprocessing(config.preprocess).prepare(subject)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../conf", config_name="preprocess", path_option="video")
