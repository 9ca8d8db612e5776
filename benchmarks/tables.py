"""Tables of measurements: rows of named values, kept as JSON, and markdown pages made from them."""

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

Row = dict[str, Any]
SHARES = ("ssim", "lpips", "mask")  # figures of at most 1, which need more digits


@dataclasses.dataclass(frozen=True)
class Book:
    """All tables of a script on a device: SCRIPT_DEVICE.json and .md in a folder.

    Each row has a `scene` and a `device`. Keeping a part again replaces its rows of the same scenes, and of the same
    `label` where rows have one.
    """

    script: str  # file name without suffix
    titles: Mapping[str, str]  # part: title, in the order of the page
    folder: Path

    def keep(self, part: str, line: str, rows: list[Row]) -> str:
        """Writes the rows of a part, measured by the command `line`, and the page of their device. Returns the page."""
        device = rows[0]["device"]
        path = self.folder / f"{self.script}_{re.sub(r'[^a-z0-9]+', '_', device.lower()).strip('_')}.json"
        stored = json.loads(path.read_text()) if path.exists() else {"device": device, "parts": {}}
        old = stored["parts"].get(part, {"rows": []})["rows"]
        stored["parts"][part] = {"command": line, "rows": merged(old, rows)}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(stored, indent=1) + "\n")
        text = self.page(device, stored["parts"])
        path.with_suffix(".md").write_text(text)
        return text

    def page(self, device: str, parts: Mapping[str, Mapping[str, Any]]) -> str:
        """All tables of a device, without parts that no longer have a title."""
        pages = [f"# {self.script.capitalize()} on {device}\n"]
        for part in (part for part in self.titles if part in parts):
            rows = [{name: value for name, value in row.items() if name != "device"} for row in parts[part]["rows"]]
            command = f"`python benchmarks/{self.script}.py {parts[part]['command']}`"
            pages.append(f"## {self.titles[part]}\n\n{command}\n\n{table(rows)}\n")
        return "\n".join(pages)


def merged(old: list[Row], new: list[Row]) -> list[Row]:
    """The old rows of other scenes and labels, then the new rows."""

    def key(row: Row) -> tuple[str, str | None]:
        return row["scene"], row.get("label")

    replaced = {key(row) for row in new}
    return [row for row in old if key(row) not in replaced] + new


def table(rows: Sequence[Row]) -> str:
    """A markdown table with a column for every name in the rows."""
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return markdown(heads, [[cell(head, row.get(head)) for head in heads] for row in rows])


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A markdown table of texts."""

    def line(words: Sequence[str]) -> str:
        return "|" + "|".join(f" {word} " if word else " " for word in words) + "|"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, lines)])


def finish(text: str, out: Path | None, faults: bool) -> NoReturn:
    """Prints a page, writes it to `out` if that is given, and ends the program with a status that tells of faults."""
    print(text)
    if out:
        out.write_text(text)
    sys.exit(faults)


def cell(head: str, value: Any) -> str:
    """A value as text in the table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:.4f}"
            if any(name in head for name in SHARES)
            else f"{value:.2f}"
            if abs(value) < 100
            else f"{value:.0f}"
        )
    return str(value)


def reproducible(words: list[str]) -> str:
    """The command line without details of this machine: names instead of paths, and no folder of results."""
    if "--results" in words:
        cut = words.index("--results")
        words = words[:cut] + words[cut + 2 :]
    return " ".join(word if "=" in word else Path(word).name for word in words)
