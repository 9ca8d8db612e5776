"""Links lead to headings that exist, and every page is in the index."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they are made for links: small letters, no punctuation, hyphens for spaces."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_headings_that_a_page_links_exist(page: Path):
    for file, anchor in re.findall(r"\]\(([\w./]*)#([^)]+)\)", page.read_text()):
        target = page if not file else (page.parent / file).resolve()
        assert anchor in anchors(target), f"{file}#{anchor}"


def test_the_index_lists_every_page():
    text = (ROOT / "docs/README.md").read_text()
    listed = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([\w./]+)\)", text)}
    there = {*PAGES, *(ROOT / "docs").glob("*.ipynb")} - {ROOT / "README.md", ROOT / "docs/README.md"}
    assert listed == there
