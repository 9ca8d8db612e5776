"""Each message that docs/troubleshooting.md explains is one that the code can print."""

import ast
import functools
import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
QUOTED = re.findall(r"^> `(.*)`$", PAGE, re.MULTILINE)
GAP = "…"


@functools.cache
def texts() -> list[str]:
    """Every text of the code: string constants, and f-strings with gaps for what they format."""
    files = [path for folder in ("src", "preprocess") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    whole = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return whole + [gapped(node) for node in nodes if isinstance(node, ast.JoinedStr)]


def gapped(node: ast.JoinedStr) -> str:
    """An f-string with gaps."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)


def printed(message: str) -> bool:
    """Whether a text of the code has all pieces of a message in their order, and begins as it does."""
    pattern = ".*?".join(re.escape(piece) for piece in message.split(GAP))
    return any(re.match(pattern, text, re.DOTALL) for text in texts())


@pytest.mark.parametrize("message", QUOTED)
def test_the_code_has_the_message(message: str):
    assert printed(message)
    assert len(message.replace(GAP, "").split()) >= 4, "so few words would be found anywhere"


def test_every_message_is_explained():
    assert len(QUOTED) > 20 and len(set(QUOTED)) == len(QUOTED)
    for entry in re.split(r"^> `.*`$", PAGE, flags=re.MULTILINE)[1:]:
        assert len(re.sub(r"^#.*$", "", entry, flags=re.MULTILINE).split()) >= 2


@pytest.mark.parametrize(
    "message", ["nobody was seen in the video: does it show a whole person?", "… holds … no fish."]
)
def test_a_message_that_nothing_prints_is_noticed(message: str):
    assert not printed(message)
