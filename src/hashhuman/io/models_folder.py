"""The folder that fetched weights and the user's own models lie in."""

import os
from pathlib import Path

from omegaconf import OmegaConf

HERE = Path(__file__).resolve().parents[3]  # of a checkout: its root


def cache_root(checkout: Path = HERE) -> Path:
    """The folder for weights and models: one, from whichever folder a command is typed.

    It is `$HASHHUMAN_MODELS` where that is set (then relative to the current folder, as paths of a shell are). Else it
    is `models/` in the checkout that this code runs from; where it is installed without one, `hashhuman/models` in the
    user's cache folder (`$XDG_CACHE_HOME`, or else `~/.cache`).

    Args:
        checkout: the folder that is the checkout if `pyproject.toml` and `train.py` lie in it.
    """
    if named := os.environ.get("HASHHUMAN_MODELS"):
        return Path(named).expanduser()
    if all((checkout / name).is_file() for name in ("pyproject.toml", "train.py")):
        return checkout / "models"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hashhuman/models"


# For conf/body/smpl.yaml and its like.
OmegaConf.register_new_resolver("models_folder", lambda: str(cache_root()), replace=True)
