"""The drawing in docs/architecture.md is that of the code as it is, and no file imports itself by way of others."""

import graphlib
from pathlib import Path

import pytest

from docs import draw_architecture as draw


def write(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return draw.modules_of("a", folder)


def test_the_drawing_is_up_to_date():
    page = draw.PAGE.read_text()
    assert draw.drawn(page, draw.drawing()) == page, "run: python docs/draw_architecture.py"


def test_layers_name_every_folder_and_file():
    for package, folder in draw.PACKAGES.items():
        drawn = [name for layer in draw.layers_of(package) for name in layer]
        there = {draw.folder_of(module) for module in draw.modules_of(package, folder)} - {package}
        assert sorted(drawn) == sorted(name.partition(".")[2] for name in there)


def test_imports_never_run_upwards():
    for package, folder in draw.PACKAGES.items():
        level = {name: height for height, layer in enumerate(draw.layers_of(package)) for name in layer}
        for source, target in draw.counts(draw.imports_of(draw.modules_of(package, folder))):
            assert level[source.partition(".")[2]] < level[target.partition(".")[2]], f"{source} imports {target}"


def test_no_circle_of_files():
    """Stricter than `lint-imports`: a file must not import its own folder's __init__.py, if that imports the file."""
    modules = {}
    for package, folder in draw.PACKAGES.items():
        modules |= draw.modules_of(package, folder)
    edges = draw.imports_of(modules)
    assert sum(len(targets) for targets in edges.values()) > 500
    graphlib.TopologicalSorter(edges).prepare()  # raises CycleError, which names the circle


def test_every_kind_of_import_is_seen(tmp_path: Path):
    modules = write(
        tmp_path,
        {
            "__init__.py": "",
            "b/__init__.py": "from a.b.c import value\n",
            "b/c.py": "import json\nvalue = 1\n",
            "b/d.py": "from . import c\nfrom .c import value\nfrom ..e import thing\n",
            "e.py": "import typing\nif typing.TYPE_CHECKING:\n    import a.b.c\n\ndef f():\n    from a import b\n",
        },
    )
    edges = draw.imports_of(modules)
    assert edges == {"a": set(), "a.b": {"a.b.c"}, "a.b.c": set(), "a.b.d": {"a.b.c", "a.e"}, "a.e": {"a.b.c", "a.b"}}
    assert draw.counts(edges) == {("a.b", "a.e"): 1, ("a.e", "a.b"): 2}


def test_a_file_that_imports_its_own_folder_is_a_circle(tmp_path: Path):
    modules = write(tmp_path, {"__init__.py": "from a.b import value\n", "b.py": "from a import other\nvalue = 1\n"})
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(draw.imports_of(modules)).prepare()


def test_the_purpose_is_the_first_sentence(tmp_path: Path):
    modules = write(tmp_path, {"__init__.py": '"""One thing: this\none. And more.\n\nYet more.\n"""\n', "b.py": ""})
    assert draw.purpose(modules["a"]) == "One thing: this one"
    assert draw.purpose(modules["a.b"]) == ""


def test_boxes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draw, "WIDTH", 12)
    assert draw.stack([["top"], ["a", "b"], ["x", "y", "z"]]).splitlines() == [
        "┌───────────┐",
        "│ top       │",
        "├─────┬─────┤",
        "│ a   │ b   │",
        "├───┬─┴─┬───┤",
        "│ x │ y │ z │",
        "└───┴───┴───┘",
    ]


def test_a_block_that_is_missing_is_told():
    page = "a\n<!-- drawn: x -->\nold\n\nold\n<!-- end -->\nb\n"
    assert draw.drawn(page, {"x": "new \\1"}) == "a\n<!-- drawn: x -->\nnew \\1\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="0 blocks marked y"):
        draw.drawn(page, {"y": "new"})
