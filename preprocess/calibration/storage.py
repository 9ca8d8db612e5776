"""Reads files of OpenCV's FileStorage (YAML, XML or JSON) in Python, since a damaged one can crash OpenCV's reader."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hashhuman.errors import UserError
from hashhuman.io import limits
from hashhuman.io.files import load_json, reading
from hashhuman.io.packages import cause_of
from preprocess.calibration.xml import ElementTree, read_xml

SUFFIXES = (".yml", ".yaml", ".xml", ".json")
_MATRIX = "opencv-matrix"
_DAMAGE = (RecursionError, LookupError, TypeError, ValueError, OverflowError, AttributeError, MemoryError)


def read_storage(path: Path) -> dict[str, Any]:
    """The file's entries by name: matrices as float64 arrays, sequences as lists, other values as the format has them.

    Raises UserError if the file is absent or damaged, or holds anything but named entries.
    """
    try:
        values = _READERS.get(path.suffix.lower(), _read_yaml)(path)
    except (yaml.YAMLError, ElementTree.ParseError, *_DAMAGE) as error:
        raise UserError(f"{path} is not a file of OpenCV's FileStorage: {cause_of(error)}.") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UserError(f"{path} must hold named matrices, as OpenCV's FileStorage writes them.")
    return values


def _read_yaml(path: Path) -> Any:
    with reading(path, "YAML") as file:
        limits.check_size(file, limits.TEXT_BYTES)
        text = file.read().decode("utf-8", errors="replace")
    loader = _Loader(re.sub(r"\A\s*%YAML[: ]\S*", "", text))  # OpenCV's directive is not valid YAML
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Constructs plain values and OpenCV's matrices, nothing else.

    OpenCV writes no references (`*name`), and none is admitted: a few of them stand for billions of values.
    """

    depth = 0  # of the node that is being composed

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ValueError("it refers to other values of the file (*name), which OpenCV never does")
        self.depth += 1
        if self.depth > limits.NESTING:
            raise ValueError(f"its values are nested more than {limits.NESTING} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _yaml_matrix(loader: yaml.SafeLoader, node: yaml.Node) -> np.ndarray:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("a matrix is not a mapping")
    return _matrix({str(key): value for key, value in loader.construct_mapping(node, deep=True).items()})


_Loader.add_constructor(f"tag:yaml.org,2002:{_MATRIX}", _yaml_matrix)


def _read_xml(path: Path) -> Any:
    return {node.tag: _xml_value(node) for node in read_xml(path)}


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
