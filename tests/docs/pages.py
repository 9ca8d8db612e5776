"""The commands and options that pages show."""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
STARTS = ("python", "pip", "make", "hashhuman", "conda", "git", "cd", "ssh", "eval", "source", "wandb", "tensorboard")
ENVIRONMENT = ".venv/bin/"  # a program of it is called with this in front, or without


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a page."""

    page: str  # relative to the repository
    text: str  # in one line

    @property
    def words(self) -> list[str]:
        """Its words as a shell splits them; what stands for more options ("...") is left out."""
        words = [word for word in shlex.split(self.text, comments=True) if word != "..."]
        return [words[0].removeprefix(ENVIRONMENT), *words[1:]]


def commands_of(page: Path) -> Iterator[Command]:
    """Every command of a page: the lines of shell blocks, and code in a line that begins with a program and goes on."""
    text, name = page.read_text(), page.relative_to(ROOT).as_posix()
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                yield Command(name, " ".join(line.split()))
    for code in spans(text):
        first, _, rest = code.partition(" ")
        if first.removeprefix(ENVIRONMENT) in STARTS and rest:
            yield Command(name, code)


def options_of(page: Path) -> Iterator[str]:
    """Every `name=value` of a page's running text, outside of commands, whose name has a dot or a slash."""
    for code in spans(page.read_text()):
        for word in code.split():
            if re.fullmatch(r"[+~]{0,2}[a-z_]\w*(?:[./][a-z_0-9/]+)+=\S*", word) and not code.startswith(STARTS):
                yield word


def spans(text: str) -> list[str]:
    """The code in the lines of a page, without its blocks."""
    running = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", running, re.DOTALL)
    return [" ".join(code.split()) for _, code in found]
