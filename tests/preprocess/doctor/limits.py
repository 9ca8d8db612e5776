"""The checks with the limits that the program comes with."""

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[3] / "conf/preprocess/doctor/default.yaml"


def node() -> DictConfig:
    """The configuration's node `preprocess.doctor`."""
    config = OmegaConf.load(CONF)
    assert isinstance(config, DictConfig)
    return config


def checks(name: str) -> Any:
    """`machine`, `clip` or `fit`."""
    return instantiate(node()[name])
