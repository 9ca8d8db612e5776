"""Values of the wrong kind: each option of a `_target_` against the type that its parameter is annotated with."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig, OmegaConf

from hashhuman.errors import UserError

_SCALARS = {bool: "true or false", int: "a number", float: "a number", str: "a text", Path: "a path"}


def check_types(config: Any, key: str = "") -> None:
    """Raises UserError for the first option whose value is of a kind that its `_target_` does not take.

    Nodes that are references to others are passed over, since those are checked where they stand.

    Args:
        config: a node of a composed config.
        key: where it stands.
    """
    if isinstance(config, DictConfig) and isinstance(config.get("_target_"), str):
        hints = _hints(get_object(config["_target_"]))
        for name in config:
            if name in hints and not OmegaConf.is_missing(config, name):
                _check(config, str(name), hints[str(name)], key)
    if isinstance(config, DictConfig) and config.get("_recursive_", True):
        for name in map(str, config):
            if not OmegaConf.is_missing(config, name) and not OmegaConf.is_interpolation(config, name):
                check_types(config[name], f"{key}.{name}".removeprefix("."))


def _hints(made: Any) -> dict[str, Any]:
    """The annotations of a class's or a function's parameters; none where they cannot be read."""
    try:
        return typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError, AttributeError):
        return {}


def _check(node: DictConfig, name: str, hint: Any, key: str) -> None:
    if OmegaConf.is_interpolation(node, name):
        return
    value = node[name]
    if not fits(value, hint):
        said = "null" if value is None else value
        raise UserError(f"{key}.{name}={said} must be {' or '.join(dict.fromkeys(_kinds(hint)))}.")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config may become an argument with this annotation; True where that cannot be told.

    Numbers of either kind pass for each other, since the ranges of `hashhuman.checks.ranges` say which are whole.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:  # a class, for Python 3.11
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if hint is None or hint is types.NoneType:
        return value is None
    if hint in (int, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str)
    kind = origin or hint
    if kind in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        return isinstance(value, ListConfig | Sequence) and not isinstance(value, str) and _elements_fit(value, inner)
    if kind in (dict, collections.abc.Mapping):
        return isinstance(value, DictConfig | Mapping)
    if kind is collections.abc.Callable or (inspect.isclass(kind) and kind is not object):
        return OmegaConf.is_config(value)  # an object, which a node describes
    return True


def _elements_fit(values: Any, inner: tuple[Any, ...]) -> bool:
    kinds = [kind for kind in inner if kind is not Ellipsis]
    return len(kinds) != 1 or all(fits(value, kinds[0]) for value in values)


def _kinds(hint: Any) -> Iterator[str]:
    """An annotation in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        for option in inner:
            yield from _kinds(option)
    elif origin is Literal:
        yield from map(str, inner)
    elif hint in _SCALARS:
        yield _SCALARS[hint]
    elif hint is None or hint is types.NoneType:
        yield "null"
    elif (origin or hint) in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
        yield "a list, such as [0]"
    elif (origin or hint) in (dict, collections.abc.Mapping):
        yield "names with values, such as {a: 1}"
    else:
        yield "an object, which _target_ names with its options"
