"""Draws which folder of the code imports which, into the marked blocks of docs/architecture.md.

python docs/draw_architecture.py

The order of the folders is that of the layers in pyproject.toml, which `lint-imports` keeps; everything else is read
from the code. It needs nothing but Python.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/architecture.md"
PACKAGES = {"hashhuman": ROOT / "src/hashhuman", "preprocess": ROOT / "preprocess"}
WIDTH = 100  # of the drawing, characters

Layers = Sequence[Sequence[str]]  # from top to bottom; names in one layer do not import each other
Edges = Mapping[str, set[str]]  # module: modules that it imports


def layers_of(package: str) -> Layers:
    """The layers of a package, as its contract in pyproject.toml states them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (lines,) = (contract["layers"] for contract in contracts if contract.get("containers") == [package])
    return [line.split(" | ") for line in lines]


def modules_of(package: str, folder: Path) -> dict[str, Path]:
    """The modules below a package's folder, by their dotted names."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        names = path.relative_to(folder).with_suffix("").parts
        found[".".join([package, *(name for name in names if name != "__init__")])] = path
    return found


def imports_of(modules: Mapping[str, Path]) -> Edges:
    """Which of the modules each of them imports; imports inside functions and under TYPE_CHECKING count.

    `from a import b` is an import of a.b if that is a module, and of a if it is a name in a.
    """
    return {module: _imported(module, path, modules) for module, path in modules.items()}


def _imported(module: str, path: Path, modules: Mapping[str, Path]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, module, path)
            for alias in node.names:
                found.add(inner if (inner := f"{source}.{alias.name}") in modules else source)
    return (found & modules.keys()) - {module}


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    """The module after `from`, without dots in front."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*parts[: len(parts) + 1 - node.level], *([node.module] if node.module else [])])


def folder_of(module: str) -> str:
    """The part of a package that a module belongs to: hashhuman.body.smpl.obj -> hashhuman.body."""
    return ".".join(module.split(".")[:2])


def counts(edges: Edges) -> Counter[tuple[str, str]]:
    """How many imports lead from one part of a package to another: pairs of files are counted.

    A program inside a folder (`hashhuman.export.__main__`) stands above all layers, and is left out.
    """
    inner = {source: targets for source, targets in edges.items() if not re.fullmatch(r"\w+\.\w+\.__main__", source)}
    pairs = ((folder_of(source), folder_of(target)) for source, targets in inner.items() for target in targets)
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def purpose(path: Path) -> str:
    """The first sentence of a file's docstring; of a folder, that of its __init__.py."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=\.) ", " ".join(text.split("\n\n")[0].split()))[0].rstrip(".")


def stack(layers: Layers) -> str:
    """The layers as boxes, one above the other."""
    edges = [[round(i * WIDTH / len(names)) for i in range(len(names) + 1)] for names in layers]
    lines = [_rule([], edges[0])]
    for names, here, below in zip(layers, edges, [*edges[1:], []]):
        cells = (f"│ {name}".ljust(right - left) for name, left, right in zip(names, here, here[1:]))
        lines += ["".join(cells) + "│", _rule(here, below)]
    return "\n".join(lines)


def _rule(above: Sequence[int], below: Sequence[int]) -> str:
    """The line between two layers whose cells have these edges."""
    corners = {(False, False): "─", (True, False): "┴", (False, True): "┬", (True, True): "┼"}
    left, right = ("├", "┤") if above and below else ("└", "┘") if above else ("┌", "┐")
    inner = (corners[i in above, i in below] for i in range(1, WIDTH))
    return left + "".join(inner) + right


def table(package: str, layers: Layers, modules: Mapping[str, Path], imports: Counter[tuple[str, str]]) -> str:
    """A row for each folder: its files, what it is, and how often it imports from which others."""
    names = [name for layer in layers for name in layer]
    rows = ["| folder | files | what is in it | imports |", "|---|---|---|---|"]
    for name in names:
        files = [module for module in modules if folder_of(module) == f"{package}.{name}"]
        targets = ", ".join(
            f"{other} {imports[f'{package}.{name}', f'{package}.{other}']}"
            for other in names
            if (f"{package}.{name}", f"{package}.{other}") in imports
        )
        rows.append(f"| `{name}` | {len(files)} | {purpose(modules[f'{package}.{name}'])} | {targets} |")
    return "\n".join(rows)


def drawing() -> dict[str, str]:
    """The text of each marked block."""
    modules = {package: modules_of(package, folder) for package, folder in PACKAGES.items()}
    imports = counts(imports_of({name: path for found in modules.values() for name, path in found.items()}))
    blocks = {}
    for package, own in modules.items():
        layers = layers_of(package)
        blocks[package] = f"```\n{stack(layers)}\n```\n\n{table(package, layers, own, imports)}"
    shared: Counter[str] = Counter()
    for (source, target), count in imports.items():
        if source.startswith("preprocess") and target.startswith("hashhuman"):
            shared[target.removeprefix("hashhuman.")] += count
    listed = ", ".join(
        f"`{name}` {count}" for name, count in sorted(shared.items(), key=lambda item: (-item[1], item[0]))
    )
    blocks["shared"] = f"Imports from `preprocess` to folders of `hashhuman`: {listed}."
    return blocks


def drawn(page: str, blocks: Mapping[str, str]) -> str:
    """The page with its marked blocks replaced; raises ValueError if one is missing."""
    for name, text in blocks.items():
        pattern = rf"(<!-- drawn: {name} -->\n).*?(\n<!-- end -->)"
        page, replaced = re.subn(pattern, lambda match, text=text: match[1] + text + match[2], page, flags=re.DOTALL)
        if replaced != 1:
            raise ValueError(f"{PAGE} has {replaced} blocks marked {name}, not one")
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(), drawing()))
