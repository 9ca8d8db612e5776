"""Reads XML files, which may come from anybody."""

from pathlib import Path
from xml.etree import ElementTree as ElementTree

from hashhuman.io import limits
from hashhuman.io.files import reading


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file in UTF-8.

    Files with a document type are refused: its entities can stand for billions of letters, or for other files.

    Raises UserError if the file is absent, too large, or damaged, and ElementTree.ParseError for other damage.
    """
    with reading(path, "XML") as file:
        limits.check_size(file, limits.XML_BYTES)
        text = file.read().decode("utf-8-sig")
        if "<!DOCTYPE" in text:
            raise ValueError("it has a document type, which no calibration needs")
    return ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities  # nosec B314
