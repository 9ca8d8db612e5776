"""Which stages there are, in the order in which they run."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate

from preprocess.stage import Stage

STAGES = ("frames", "keypoints", "body_fit", "masks", "blend_weights", "quality", "report")
"""Names of the stages, which are also the names of their config groups."""


def make_stages(config: Mapping[str, Any]) -> list[Stage]:
    """Makes the stages of the config node `preprocess`, in order; one that is absent or null is left out."""
    return [instantiate(config[name]) for name in STAGES if config.get(name) is not None]
