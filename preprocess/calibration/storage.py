"""Reads files of OpenCV's FileStorage (YAML, XML or JSON) in Python, since a damaged one can crash OpenCV's reader."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from hashhuman.errors import UserError
from hashhuman.io.files import load_json

SUFFIXES = (".yml", ".yaml", ".xml", ".json")
_MATRIX = "opencv-matrix"


def read_storage(path: Path) -> dict[str, Any]:
    """The file's entries by name: matrices as float64 arrays, sequences as lists, other values as the format has them.

    Raises UserError if the file is absent or damaged, or holds anything but named entries.
    """
    try:
        values = _READERS.get(path.suffix.lower(), _read_yaml)(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ElementTree.ParseError, RecursionError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a file of OpenCV's FileStorage: {reason}.") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold named matrices, as OpenCV's FileStorage writes them.")
    return values


def _read_yaml(path: Path) -> Any:
    text = path.read_text(encoding="utf-8", errors="replace")
    return yaml.load(re.sub(r"\A\s*%YAML[: ]\S*", "", text), _Loader)  # OpenCV's directive is not valid YAML


class _Loader(yaml.SafeLoader):
    """Constructs plain values and OpenCV's matrices, nothing else."""


def _yaml_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> np.ndarray:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a matrix is not a mapping")
    return _matrix({str(key): value for key, value in loader.construct_mapping(node, deep=True).items()})


_Loader.add_constructor(f"tag:yaml.org,2002:{_MATRIX}", _yaml_matrix)


def _read_xml(path: Path) -> Any:
    return {node.tag: _xml_value(node) for node in ElementTree.parse(path).getroot()}


def _xml_value(node: ElementTree.Element) -> Any:
    if node.get("type_id") == _MATRIX:
        fields: dict[str, Any] = {child.tag: (child.text or "").strip() for child in node}
        return _matrix(fields | {"data": fields["data"].split()})
    if len(node) == 0:
        words = (node.text or "").split()
        return words[0].strip('"') if len(words) == 1 else [word.strip('"') for word in words]
    if all(child.tag == "_" for child in node):
        return [_xml_value(child) for child in node]
    return {child.tag: _xml_value(child) for child in node}


def _read_json(path: Path) -> Any:
    return _json_value(load_json(path))


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _matrix(value) if value.get("type_id") == _MATRIX else {k: _json_value(v) for k, v in value.items()}
    return value


def _matrix(fields: dict[str, Any]) -> np.ndarray:
    rows, cols = int(fields["rows"]), int(fields["cols"])
    data = np.array([float(x) for x in fields["data"]])
    if rows < 0 or cols < 0 or data.size != rows * cols:
        raise ValueError(f"a matrix of {rows} x {cols} has {data.size} numbers")
    return data.reshape(rows, cols)


_READERS = {".xml": _read_xml, ".json": _read_json}
