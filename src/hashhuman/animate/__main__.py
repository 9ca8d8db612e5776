"""Gives an avatar a new motion: python -m hashhuman.animate run=FOLDER motion=FILE. Options: conf/animate.yaml."""

from omegaconf import DictConfig

from hashhuman.cli import animate_run, hydra_main


def main(config: DictConfig) -> None:
    """Loads the run and the motion, and animates."""
    animate_run.animate(config)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../../../conf", config_name="animate", path_option="motion")
