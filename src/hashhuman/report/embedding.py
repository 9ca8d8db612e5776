"""Files as parts of a page, as long as they leave it small enough."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from hashhuman.io.files import encode_image, read_rgb
from hashhuman.page.document import data_url

MARKUP = 500  # bytes of HTML around a file
REST = 50_000  # bytes of a page that are neither files nor known beforehand
MEDIA = {".jpg": "image/jpeg", ".gif": "image/gif", ".mp4": "video/mp4"}


class Embedding:
    """Makes files parts of a page, until it is full. Ask for the most important ones first.

    Args:
        limit: the most bytes that the page may have.
        text: what the page has besides, such as its style and its tables.
    """

    def __init__(self, limit: int, text: str) -> None:
        self.free = limit - len(text.encode()) - REST
        self.left_out: dict[str, Path] = {}  # label: file that was too large

    def url(self, label: str, path: Path) -> str | None:
        """The URL of a picture or a video within the page; None if it is missing or too large.

        A PNG becomes a JPEG. Raises UserError if it cannot be decoded.
        """
        return self.urls({label: path}).get(label)

    def urls(self, files: Mapping[str, Path]) -> dict[str, str]:
        """As `url`, for files that are of use only together: all of them by their labels, or none."""
        if not files or not all(path.is_file() for path in files.values()):
            return {}
        made = {label: _url(path) for label, path in files.items()}
        if self.takes(sum(len(url) + MARKUP for url in made.values())):
            return made
        self.left_out |= files
        return {}

    def text(self, label: str, path: Path, text: str) -> str:
        """A part of the page as it is if it still fits; otherwise nothing, and `path` is named as holding it."""
        if self.takes(len(text.encode())):
            return text
        self.left_out[label] = path
        return ""

    def takes(self, size: int) -> bool:
        """Whether so many bytes still fit; if so, they are taken."""
        if size > self.free:
            return False
        self.free -= size
        return True

    @property
    def footer(self) -> str:
        """HTML that says what was left out and where it lies; empty if nothing was."""
        if not self.left_out:
            return ""
        words = "; ".join(f"{label} ({path})" for label, path in self.left_out.items())
        sentence = f"Left out, since the page would have become too large: {words}."
        return f"<footer><p>{escape(sentence)}</p></footer>\n"


def _url(path: Path) -> str:
    if path.suffix == ".png":
        return data_url(MEDIA[".jpg"], encode_image(read_rgb(path), ".jpg"))
    return data_url(MEDIA[path.suffix], path.read_bytes())
