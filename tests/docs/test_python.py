"""The notebook runs, and so do the Python blocks of the pages, on the notebook's run."""

import ast
import base64
import io
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.docs.pages import PAGES, ROOT

NOTEBOOK = ROOT / "docs/notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PYTHON = {page.relative_to(ROOT).as_posix(): BLOCK.findall(page.read_text()) for page in PAGES}
ELSEWHERE = {"docs/extending.md": "tests/test_extending.py"}  # who runs the blocks of other pages


def run_cell(code: str, names: dict[str, Any]) -> Any:
    """Runs code as a notebook does. Returns the value of its last line, if that is an expression."""
    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)  # noqa: S102
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What the notebook's cells show, in a folder of their own."""
    folder, names = tmp_path_factory.mktemp("notebook"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
        shown = [run_cell(code, names) for code in CODE]
    return {"folder": folder, "shown": shown, "names": names}


@pytest.mark.slow
def test_the_notebook_runs_and_shows_a_person(notebook):
    pictures = [np.asarray(each) for each in notebook["shown"] if isinstance(each, Image.Image)]
    assert len(pictures) == 3
    for picture in pictures:
        assert 0.03 < (picture < 250).any(-1).mean() < 0.5  # the person covers a part of the white ground
    front, turned = pictures[0], pictures[2]
    assert front.shape != turned.shape
    assert (notebook["folder"] / "outputs/notebook/run/export/motion.bvh").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(name for name, blocks in PYTHON.items() if blocks and name not in ELSEWHERE))
def test_the_blocks_of_a_page_run(page: str, notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = notebook["folder"] / "outputs/notebook/run"
    shutil.copy(run / "export/motion.bvh", "walk.bvh")
    names: dict[str, Any] = {}
    for block in PYTHON[page]:
        run_cell(re.sub(r"outputs/\w+/TIME", lambda _: str(run), block), names)
    assert names["run"].frames and (page != "docs/python.md" or Image.open("arms_up.png").size == (512, 512))


def test_blocks_of_other_pages_are_run_elsewhere():
    for page, test in ELSEWHERE.items():
        assert PYTHON[page] and f'"{page}"' in (ROOT / test).read_text()


def test_the_notebook_is_small_and_has_its_pictures():
    assert NOTEBOOK.stat().st_size < 300_000
    outputs = [output for cell in CELLS for output in cell.get("outputs", [])]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
    assert all(Image.open(io.BytesIO(base64.b64decode(picture))).width > 90 for picture in pictures)
    assert not any(output["output_type"] == "error" for output in outputs)
