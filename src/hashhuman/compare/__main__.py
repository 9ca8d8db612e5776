"""Compares finished runs: python -m hashhuman.compare A B. Options: conf/compare.yaml."""

from omegaconf import DictConfig

from hashhuman.cli import compare_runs, hydra_main


def main(config: DictConfig) -> None:
    """Reads the runs and compares them."""
    compare_runs.compare(config)


if __name__ == "__main__":
    hydra_main.run(main, config_path="../../../conf", config_name="compare", path_option="runs", several_paths=True)
