"""Writes files to take away from a finished run: python -m hashhuman.export run=FOLDER. Options: conf/export.yaml."""

from omegaconf import DictConfig

from hashhuman.cli import export_run, hydra_main


def main(config: DictConfig) -> None:
    """Loads the run and exports it."""
    export_run.export(config)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../../../conf", config_name="export", path_option="run")
