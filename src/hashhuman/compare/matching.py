"""What of several runs can be compared: the same protocol, and pictures that were measured by the same truth."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hashhuman.errors import UserError
from hashhuman.report.figures import title_of
from hashhuman.report.pictures import Pictures
from hashhuman.report.record import Record
from hashhuman.training.manifest import Manifest
from hashhuman.training.run_folder import CONFIG, EVALUATION, check_trained

LOWER = ("lpips", "halo")  # what begins the columns of which less is better
HIGHER = ("psnr", "ssim", "mask_iou")


@dataclasses.dataclass(frozen=True)
class Matched:
    """Runs, each with one evaluation, and what is common to these."""

    names: list[str]  # of the runs, all different
    records: list[Record]
    columns: dict[str, str]  # column: what it means, in all of them alike
    common: dict[str, list[str]]  # split: the pictures that all of them were measured on, by the same truth
    notes: list[str]  # what is not compared and why, in sentences

    def values(self, split: str, column: str) -> list[list[float]]:
        """A metric of each run, for all common pictures of a split."""
        return [[row[column] for row in rows] for rows in self._rows(split)]

    def means(self, split: str) -> dict[str, list[float]]:
        """The mean metrics of each run over the common pictures of a split: {column: a value for each run}."""
        return {
            column: [statistics.fmean(values) for values in self.values(split, column)]
            for column in (*self.columns, "render_ms")
            if all(row.get(column) is not None for rows in self._rows(split) for row in rows)
        }

    def _rows(self, split: str) -> list[list[dict[str, Any]]]:
        """The metrics of each run, a row for each common picture of a split."""
        found = [{row["picture"]: row for row in record.metrics["splits"][split]["each"]} for record in self.records]
        return [[rows[name] for name in self.common[split]] for rows in found]

    @property
    def pictures(self) -> list[list[Pictures]]:
        """The common pictures that all runs keep, for each of them a list with those of each run."""
        kept = [{(each.split, each.name): each for each in record.pictures} for record in self.records]
        return [
            [mine[split, name] for mine in kept]
            for split, names in self.common.items()
            for name in names
            if all((split, name) in mine for mine in kept)
        ]

    @property
    def differences(self) -> dict[str, list[object]]:
        """The options in which the runs differ: {option: its value in each run}; `...` where a run has none."""
        options = [record.options for record in self.records]
        keys = list(dict.fromkeys(key for mine in options for key in mine))
        differ = {key: [mine.get(key, ...) for mine in options] for key in keys}
        differ = {key: values for key, values in differ.items() if any(value != values[0] for value in values)}
        # What prepares the subject stands in the config twice.
        return {key: values for key, values in differ.items() if _once(key) not in differ or _once(key) == key}


def _once(key: str) -> str:
    return key.replace("source.stages.", "preprocess.", 1) if key.startswith("source.stages.") else key


def better(column: str, difference: float) -> bool | None:
    """Whether a difference of a metric is for the better; None: it is neither, or nobody knows."""
    if difference == 0 or not column.startswith(LOWER + HIGHER):
        return None
    return (difference > 0) == column.startswith(HIGHER)


def matched(paths: Sequence[Path]) -> Matched:
    """Reads runs and finds what is common to them.

    Args:
        paths: folders of finished runs, or of evaluations in them. Of the evaluations of a run, the one is taken that
            has most in common with those of the others.

    Raises:
        UserError: for fewer than two runs, for a run without an evaluation, and for runs that have nothing in common.
    """
    if len(paths) < 2:
        raise UserError("There is nothing to compare: name at least two runs, as in python -m hashhuman.compare A B.")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("One of the runs is named twice: name each run once.")
    found = [evaluations(path) for path in paths]
    chosen = max((_nearest(first, found[1:]) for first in found[0]), key=_agreement)
    names = unique_names(paths)
    if not _agreement(chosen):
        raise UserError(_nothing_common(names, chosen))
    common = _common(chosen)
    columns, notes = _columns(chosen)
    notes += _unmatched(chosen, common)
    if len({record.trained_on for record in chosen}) > 1:
        notes.append("The runs were trained on different states of their subject, or on different subjects.")
    return Matched(names, chosen, columns, common, notes)


def _nearest(first: Record, others: Sequence[Sequence[Record]]) -> list[Record]:
    """An evaluation, and of each other run the one that has most in common with it."""
    return [first, *(max(mine, key=lambda record: _agreement([first, record])) for mine in others)]


def evaluations(path: Path) -> list[Record]:
    """The evaluations of a run, that after its training first, or the one evaluation in a folder.

    Raises:
        UserError: if there is none.
    """
    if (path / "metrics.json").is_file():
        run = next((parent for parent in path.absolute().parents if (parent / CONFIG).is_file()), None)
        if run is None:
            raise UserError(f"{path} lies in no run, since no folder above it has a {CONFIG}: name the run's folder.")
        _check_trained(run)
        return [Record.read(run, path)]
    if not (path / CONFIG).is_file():
        raise UserError(f"{path} holds no run, since {path / CONFIG} is missing: name a folder below outputs/.")
    _check_trained(path)
    after_training = path / EVALUATION / "metrics.json"
    sources = [after_training, *sorted((path / EVALUATION).glob("*/metrics.json"))]
    found = [Record.read(path, source.parent) for source in sources if source.is_file()]
    if not found:
        raise UserError(f"{path} has not been evaluated yet: run `python eval.py run={path}` first.")
    if sound := [record for record in found if record.truths]:
        return sound
    if not any(result["each"] for record in found for result in record.metrics["splits"].values()):
        raise UserError(
            f"No picture of {path} was held out, so nothing was measured that could be compared: train it with "
            "data.holdout_every=8, say."
        )
    raise UserError(
        f"{path} was evaluated without eval.products.report, or by an earlier revision, so that nobody knows by what "
        f"truth: run `python eval.py run={path}` first."
    )


def _check_trained(run: Path) -> None:
    """Raises UserError for a run whose training has not ended: what was measured there is of an earlier training."""
    manifest = Manifest.load(run)
    if manifest is not None:
        check_trained(run, manifest)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Names for folders: as many of the last parts of their paths as tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(mine[-count:]) for mine in parts]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("the folders differ")


def _common(records: Sequence[Record]) -> dict[str, list[str]]:
    """The pictures of each split that all runs were measured on by the same truth; none if protocols differ."""
    if len({record.metrics["protocol"] for record in records}) > 1:
        return {}
    first, *others = records
    found = {}
    for split, result in first.metrics["splits"].items():
        names = [
            row["picture"]
            for row in result["each"]
            if (truth := first.truths.get(split, {}).get(row["picture"])) is not None
            and all(other.truths.get(split, {}).get(row["picture"]) == truth for other in others)
        ]
        if names:
            found[split] = names
    return found


def _agreement(records: Sequence[Record]) -> int:
    return sum(map(len, _common(records).values()))


def _columns(records: Sequence[Record]) -> tuple[dict[str, str], list[str]]:
    """The columns that mean the same in all runs, and a sentence for each of the others."""
    meanings = [record.metrics["columns"] for record in records]
    every = dict.fromkeys(column for mine in meanings for column in mine)
    same = {column: meanings[0][column] for column in every if len({mine.get(column) for mine in meanings}) == 1}
    other = [column for column in every if column not in same]
    return same, [f"Not in all runs, or not with the same meaning: {', '.join(other)}."] if other else []


def _unmatched(records: Sequence[Record], common: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each split of which not all pictures are compared."""
    notes = []
    for split in dict.fromkeys(split for record in records for split in record.metrics["splits"]):
        measured = {row["picture"] for r in records for row in r.metrics["splits"].get(split, {"each": []})["each"]}
        if missing := len(measured) - len(common.get(split, [])):
            notes.append(
                f"{title_of(split)}: {missing} of {len(measured)} pictures were not measured in all runs, or "
                "by another truth (size, mask, light), and are left out."
            )
    return notes


def _nothing_common(names: Sequence[str], records: Sequence[Record]) -> str:
    """Why runs cannot be compared, in one sentence."""
    who = ", ".join(names)
    protocols = {name: record.metrics["protocol"] for name, record in zip(names, records)}
    if len(set(protocols.values())) > 1:
        words = ", ".join(f"{name} as {protocol}" for name, protocol in protocols.items())
        return f"{who} cannot be compared, since they were measured differently ({words}): give eval.py one metrics=."
    subjects = {record.subject for record in records}
    if len(subjects) > 1:
        words = ", ".join(f"{name} of {record.subject}" for name, record in zip(names, records))
        return f"{who} cannot be compared, since they have no picture in common ({words}): name runs of one subject."
    return (
        f"{who} cannot be compared, since no picture was measured in all of them by the same truth: their splits, "
        "picture sizes (data.max_size) or masks differ; eval.py with +overrides.data.max_size=N measures at one size."
    )
