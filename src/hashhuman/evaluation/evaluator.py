"""Measures an avatar on pictures that it was not trained on, and shows it from all sides.

An evaluation folder holds `metrics.json` (protocol, means, every picture), `table.md`, `comparisons/` (truth, render,
error), `turntable.mp4`, `canonical.png` and, on request, `images/CC/FFFFFF.png` and `mask/CC/FFFFFF.png` (8 bits, on
black) of everything that was rendered, under the names of the true pictures.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from hashhuman.body import visibility
from hashhuman.errors import UserError
from hashhuman.evaluation import drawing
from hashhuman.evaluation.canonical_sheet import CanonicalSheet
from hashhuman.evaluation.metrics.protocols import Comparison, MetricProtocol
from hashhuman.evaluation.turntable import Turntable
from hashhuman.io import threads
from hashhuman.io.files import atomic_path, save_json, write_image
from hashhuman.io.progress import track

TITLES = {
    "train": "training views",
    "heldout": "held-out frames",
    "novel_view": "novel views",
    "novel_pose": "novel poses",
}
VISIBILITY_FRAMES = 100  # training pictures, evenly spaced, that the question what was seen is put to


class Evaluator:
    """Renders the pictures of some splits, compares them with the truth, and makes pictures for people.

    Args:
        protocol: the metrics (`metrics=strict`, `metrics=legacy_nvr`).
        splits: among train, heldout, novel_view, novel_pose; empty ones are passed over.
        most: at most so many pictures of each split, evenly spaced; None for all.
        comparisons: side-by-side pictures of each split, evenly spaced.
        save_images: whether to write every rendered picture and its mask.
        turntable: the video; None or False for none.
        canonical: the sheet of the canonical pose; None or False for none.
    """

    def __init__(
        self,
        protocol: MetricProtocol,
        splits: Sequence[str],
        most: int | None,
        comparisons: int,
        save_images: bool,
        turntable: Turntable | Literal[False] | None,
        canonical: CanonicalSheet | Literal[False] | None,
    ) -> None:
        if unknown := set(splits) - set(TITLES):
            raise UserError(
                f"eval.splits={list(splits)}: there is no {', '.join(unknown)}; choose among {list(TITLES)}."
            )
        if most is not None and most < 1:
            raise UserError(f"eval.most={most} must be at least 1, or null for all pictures.")
        self.protocol, self.splits, self.most = protocol, list(splits), most
        self.comparisons, self.save_images = comparisons, save_images
        self.turntable, self.canonical = turntable or None, canonical or None

    def __call__(self, avatar: Any, datamodule: Any, folder: Path) -> dict[str, Any]:
        """Evaluates into `folder`, prints the table, then where everything lies; returns what `metrics.json` holds.

        Args:
            avatar: a `hashhuman.avatar.model.Avatar`.
            datamodule: a `hashhuman.data.datamodule.SubjectDataModule`, set up.
            folder: is made; files of an earlier evaluation are replaced.
        """
        was_training = avatar.training
        avatar.eval()
        self.protocol.to(avatar.device)
        report: dict[str, Any] = {
            "protocol": type(self.protocol).__name__,
            "columns": self.protocol.columns,
            "device": _device_name(avatar.device),
            "splits": {},
        }
        for name in self.splits:
            if chosen := spread(datamodule.splits.get(name, []), self.most):
                report["splits"][name] = self._evaluate_split(name, chosen, avatar, datamodule, folder)
        _print(report)  # before what is made to be looked at, which takes longer
        _save(report, folder)
        if self.turntable or self.canonical:
            report["unseen"] = self._show(avatar, datamodule, folder)
            _save(report, folder)
        avatar.train(was_training)
        _say_where(folder)
        return report

    def _evaluate_split(
        self, split: str, chosen: Sequence[Any], avatar: Any, datamodule: Any, folder: Path
    ) -> dict[str, Any]:
        each, empty, shown = [], [], spread(chosen, self.comparisons)
        decoded = threads.ordered(datamodule.view, chosen)
        with threads.Background() as beside:
            for picture, view in track(zip(chosen, decoded), TITLES[split], total=len(chosen)):
                if not (view.mask > 0).any():
                    empty.append(view.name)
                    continue
                vertices = torch.from_numpy(datamodule.subject.vertices(picture.frame))
                comparison, milliseconds = _render(avatar, view, vertices)
                figures = self.protocol(comparison)
                each.append({"picture": view.name} | figures | {"render_ms": milliseconds})
                if self.save_images:
                    for kind, image in (("images", comparison.rgb), ("mask", comparison.alpha)):
                        beside(write_image, folder / kind / f"{view.name}.png", drawing.to_uint8(image))
                if picture in shown:
                    column = next(iter(figures))
                    title = f"{TITLES[split]} {view.name}: {column} {figures[column]:.2f}"
                    name = f"{view.name.replace('/', '_')}.png"
                    beside(_compare, comparison, title, folder / "comparisons" / split / name)
        columns = [*self.protocol.columns, "render_ms"] if each else []
        mean = {column: statistics.fmean(row[column] for row in each) for column in columns}
        return {"pictures": len(each), "mean": mean, "each": each, "without_person": empty}

    def _show(self, avatar: Any, datamodule: Any, folder: Path) -> dict[str, Any]:
        """Makes the turntable and the canonical sheet; returns what share of them was never observed."""
        subject = datamodule.subject
        template = subject.template().to(avatar.device)
        train = spread(datamodule.splits["train"], VISIBILITY_FRAMES)
        seen = visibility.seen_vertices(
            template, [(subject.camera(picture.camera), subject.pose(picture.frame)) for picture in train]
        )
        area = visibility.vertex_areas(template.vertices, template.faces)
        unseen: dict[str, Any] = {
            "what": "share of the body's surface (by area) that no training picture saw; of all of it, and of that "
            "visible in each view of the turntable and the canonical sheet",
            "surface": float((area * ~seen).sum() / area.sum()),
        }
        if self.canonical:
            unseen["canonical"] = self.canonical(avatar, datamodule, seen, folder / "canonical.png")
        if self.turntable:
            unseen["turntable"] = self.turntable(avatar, datamodule, seen, folder / "turntable.mp4")
        return unseen


def _render(avatar: Any, view: Any, vertices: torch.Tensor) -> tuple[Comparison, float]:
    """Renders a view's camera and pose; also returns the milliseconds that took."""
    device = avatar.device
    _synchronize(device)
    start = time.perf_counter()
    rendered = avatar.render_image(view.camera, view.pose, view.frame)
    _synchronize(device)
    milliseconds = 1000 * (time.perf_counter() - start)
    truth, mask = view.image.to(device), view.mask.to(device)
    camera = view.camera.to(device)
    return Comparison(rendered.rgb, rendered.alpha, truth, mask, camera, vertices.to(device)), milliseconds


def _compare(comparison: Comparison, title: str, path: Path) -> None:
    covered = (comparison.mask > 0) | (comparison.alpha > 0.5)
    write_image(path, drawing.side_by_side(comparison.rgb, comparison.truth, covered, title))


def spread(items: Sequence[Any], most: int | None) -> list[Any]:
    """At most `most` of the items (None: all), evenly spaced from the first to the last."""
    if most is None or len(items) <= most:
        return list(items)
    return [items[i * (len(items) - 1) // max(most - 1, 1)] for i in range(most)]


def _save(report: dict[str, Any], folder: Path) -> None:
    save_json(folder / "metrics.json", report)
    with atomic_path(folder / "table.md") as path:
        path.write_text(markdown_table(report))


def markdown_table(report: dict[str, Any]) -> str:
    """The means of every split, and what each figure is."""
    heads, rows = _table(report)
    lines = ["| " + " | ".join(cells) + " |" for cells in ([*heads, "what it is"], ["---"] * (len(heads) + 1))]
    for (column, *cells), meaning in zip(rows, report["columns"].values()):
        lines.append("| " + " | ".join([f"`{column}`", *cells, meaning]) + " |")
    lines += ["", f"Protocol {report['protocol']}, on {report['device']}."]
    if "unseen" in report:
        lines += [f"{report['unseen']['surface']:.0%} of the body's surface was seen by no training picture."]
    return "\n".join(lines) + "\n"


def _table(report: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads (the splits with their numbers of pictures) and rows (one a figure)."""
    splits = report["splits"]
    heads = [report["protocol"], *(f"{TITLES[name]} ({split['pictures']})" for name, split in splits.items())]
    rows = []
    for column in report["columns"]:
        digits = 2 if column.startswith("psnr") else 4
        means = [split["mean"].get(column) for split in splits.values()]
        rows.append([column, *("-" if mean is None else f"{mean:.{digits}f}" for mean in means)])
    return heads, rows


def _print(report: dict[str, Any]) -> None:
    heads, rows = _table(report)
    table = Table(title=f"means, on {report['device']}")
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _say_where(folder: Path) -> None:
    console = Console()
    for label, name in (
        ("metrics", "metrics.json"),
        ("table", "table.md"),
        ("comparisons", "comparisons"),
        ("canonical avatar", "canonical.png"),
        ("turntable", "turntable.mp4"),
    ):
        if (folder / name).exists():
            console.print(f"{label}: {folder / name}", soft_wrap=True, highlight=False, markup=False)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
