"""Checks that the packages and files that the chosen options need exist.

A class or function that a config names as `_target_` may have an attribute `require`. It is called with the options of
its node, and with the device on which training will run, as far as it has parameters of these names. It raises
UserError if something is missing. So every option defines its own check, and there is no central list.
"""

import inspect
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


def check_requirements(config: Any, **known: Any) -> None:
    """Calls `require` of every `_target_` in a config that has one.

    Skips nodes below a node with `_recursive_: false`, since its object instantiates them itself.

    Args:
        config: a node of a composed config, or plain dictionaries and lists.
        known: further arguments for each `require` that has parameters of these names.

    Raises:
        UserError: if a requirement is missing.
    """
    for node in _targets(config):
        require = getattr(get_object(node["_target_"]), "require", None)
        if callable(require):
            names = inspect.signature(require).parameters
            require(**{name: value for name, value in known.items() if name in names} | _options(names, node))


def _targets(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping | DictConfig):
        if isinstance(node.get("_target_"), str):
            yield node  # type: ignore[misc]
        if node.get("_recursive_", True):
            for key in node:
                yield from _targets(_value(node, key))
    elif isinstance(node, list | tuple | ListConfig):
        for index in range(len(node)):
            yield from _targets(_value(node, index))


def _value(node: Any, key: Any) -> Any:
    """A value of a node; None if it is missing, which the object that needs it reports."""
    try:
        return node[key]
    except OmegaConfBaseException:
        return None


def _options(names: Collection[str], node: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a node with these names."""
    values = {str(key): _value(node, key) for key in node if key in names}
    return {name: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for name, v in values.items()}
