"""Shows a finished run in the browser: python -m hashhuman.view run=FOLDER. Options: conf/view.yaml."""

from omegaconf import DictConfig

from hashhuman.cli import hydra_main, view_run


def main(config: DictConfig) -> None:
    """Loads the run and serves it until it is interrupted."""
    view_run.view(config)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../../../conf", config_name="view", path_option="run")
