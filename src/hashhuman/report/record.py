"""What a run has left on the disk: its config, timings, curves, and one evaluation of it."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hashhuman.errors import UserError
from hashhuman.io import files, limits
from hashhuman.io.inside import relative_name
from hashhuman.report.pictures import Pictures
from hashhuman.training import run_folder
from hashhuman.training.manifest import Manifest

ENTRY = "shown"  # of metrics.json: what the product `report` adds to it
LOG = "logs/metrics.csv"
SHOWN = {"images": (".png", ".jpg"), "videos": (".mp4", ".gif")}  # and the suffixes of their files
DRAWN = ("train/", "val/")  # what begins the names of curves


@dataclasses.dataclass(frozen=True)
class Curve:
    """A value over the training."""

    steps: Float[np.ndarray, "N"]  # how many steps had been taken
    values: Float[np.ndarray, "N"]


@dataclasses.dataclass(frozen=True)
class Record:
    """A run and one evaluation of it."""

    name: str  # of the run's folder
    evaluation: Path  # folder of the evaluation
    metrics: dict[str, Any]  # content of its metrics.json
    run: Path | None  # the run's folder; None, as in the fields below: the avatar was evaluated outside of any
    config: dict[str, Any]  # content of config.json
    timing: dict[str, Any]  # content of timing.json
    options: dict[str, Any]  # the config's values, by their options
    revision: str | None  # the commit that it was trained with
    trained_on: str | None  # SHA-256 of what training read of the subject
    curves: dict[str, Curve]  # as they were logged
    pictures: list[Pictures]

    @classmethod
    def of(cls, evaluation: Path, metrics: dict[str, Any], run: Path | None) -> "Record":
        """Reads what belongs to an evaluation.

        Args:
            evaluation: its folder.
            metrics: content of its metrics.json.
            run: the run's folder.

        Raises:
            UserError: if a file is damaged.
        """
        shown = metrics.get(ENTRY, {}).get("pictures", [])
        pictures = [Pictures.read(entry, evaluation / "metrics.json") for entry in shown]
        if run is None:
            return cls(evaluation.absolute().name, evaluation, metrics, None, {}, {}, {}, None, None, {}, pictures)
        manifest, config = Manifest.load(run), _object(run / run_folder.CONFIG)
        return cls(
            run.absolute().name,
            evaluation,
            metrics,
            run,
            config,
            _object(run / "timing.json"),
            {key: value for key, value in run_folder.values(config).items() if key} if config else {},
            None if manifest is None else manifest.revision,
            None if manifest is None else manifest.subject,
            read_log(run / LOG) if (run / LOG).exists() else {},
            pictures,
        )

    @classmethod
    def read(cls, run: Path, evaluation: Path) -> "Record":
        """Reads a run and an evaluation in it, which may come from anybody.

        Raises:
            UserError: if a file is missing or damaged.
        """
        source = evaluation / "metrics.json"
        metrics = files.load_json(source)
        try:
            check_metrics(metrics)
            record = cls.of(evaluation, metrics, run)
            record.seconds(np.zeros(1))
            _check_shown(record)
            return record
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{source} holds no evaluation of this revision ({error}): evaluate the run again."
            ) from None

    @property
    def subject(self) -> str | None:
        """The name of the subject's folder."""
        root = self.config.get("data", {}).get("root")
        return Path(root).name if isinstance(root, str) else None

    @property
    def command(self) -> list[str]:
        """The overrides on the command line that trained it."""
        return [str(word) for word in self.config.get("command") or []]

    @property
    def truths(self) -> dict[str, dict[str, str]]:
        """By what truth each picture was measured: {split: {picture: digest}}; empty: nobody noted it."""
        return self.shown.get("truths", {})

    @property
    def shown(self) -> dict[str, Any]:
        """What the product `report` noted."""
        return self.metrics.get(ENTRY, {})

    def seconds(self, steps: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"] | None:
        """Seconds of training after some numbers of steps, linear between validations; None if nothing says so."""
        if "marks" not in self.timing:  # of an earlier revision
            return None
        known = np.array([[0, 0], *self.timing["marks"], [self.timing["steps"], self.timing["train_s"]]], float)
        return np.interp(steps, known[:, 0], known[:, 1])


def check_metrics(metrics: Any) -> None:
    """Raises KeyError, TypeError or ValueError if a value is not the content of a metrics.json."""
    if not isinstance(metrics["protocol"], str) or not isinstance(metrics["columns"], dict):
        raise TypeError("protocol and columns are missing")
    for split in metrics["splits"].values():
        for row in [split["mean"], *split["each"]]:
            for column, value in row.items():
                if column != "picture" and value is not None and not isinstance(value, int | float):
                    raise TypeError(f"{column} is no number")


def _check_shown(record: Record) -> None:
    """Raises KeyError, TypeError, ValueError or UserError if what a page shows of a run is of another kind."""
    for key, value in record.timing.items():
        if key not in ("device", "marks") and value is not None and not isinstance(value, int | float):
            raise TypeError(f"{key} of timing.json is no number")
    for names in (record.truths.values(), [record.shown.get(key, {}) for key in ("environment", "images", "videos")]):
        for mine in names:
            if not all(isinstance(value, str) for value in mine.values()):
                raise TypeError("a name is no text")
    for kind, suffixes in SHOWN.items():
        for path in record.shown.get(kind, {}).values():
            if relative_name(path, record.evaluation / "metrics.json").suffix not in suffixes:
                raise ValueError(f"{path} is none of its {kind}")


def read_log(path: Path) -> dict[str, Curve]:
    """The curves of a csv log, by the names of its columns.

    Raises:
        UserError: if it is damaged.
    """
    with files.reading(path, "CSV") as file:
        limits.check_size(file, limits.JSON_BYTES)
        rows = list(csv.DictReader(io.StringIO(file.read().decode("utf-8"), newline="")))
        found = {name: list(_points(rows, name)) for name in (rows[0] if rows else {}) if name.startswith(DRAWN)}
    columns = {name: np.array(points, float).reshape(-1, 2) for name, points in found.items() if points}
    return {name: Curve(points[:, 0], points[:, 1]) for name, points in columns.items()}


def _points(rows: list[dict[str, str]], name: str) -> Iterator[tuple[float, float]]:
    """Steps and values. Lightning counts from 0: a loss logged at step 99 is that of the hundredth step."""
    for row in rows:
        if row.get(name):
            step, value = float(row["step"]), float(row[name])
            if math.isfinite(step):
                yield step + 1, value


def _object(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if it is missing. Raises UserError if it is damaged."""
    content = files.load_json(path) if path.exists() else {}
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object: train the run again.")
    return content
