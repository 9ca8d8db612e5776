"""Measures an avatar on pictures that it was not trained on, and makes the products of the evaluation."""

import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from hashhuman.data.damage import refuse_damage
from hashhuman.errors import UserError
from hashhuman.evaluation.metrics.protocols import Comparison, MetricProtocol
from hashhuman.evaluation.product import TITLES, Evaluation, MeasuredPicture, Product, spread
from hashhuman.io import threads
from hashhuman.io.progress import track

log = logging.getLogger(__name__)
MOST_BYTES = 1 << 30  # of decoded pictures of a split that are kept until they are measured
UNTRAINED_POSES = ("heldout", "novel_pose")  # splits whose poses no training picture has shown


class Evaluator:
    """Renders the pictures of some splits, computes their metrics, and makes products of the results.

    Args:
        protocol: the metrics (`metrics=strict`, `metrics=legacy_nvr`).
        splits: names among train, heldout, novel_view and novel_pose; empty splits are skipped.
        most: the most pictures of each split, evenly spaced; None: all.
        fit_poses: also fit the pose of each picture of held-out frames and novel poses to that picture, with the
            avatar as it is, and report the metrics in further columns (`_fitted`).
        pose_fit: options of `avatar/pose_fit.py`.
        products: name -> `Product`, made in this order; None instead of a product leaves it out.
        export, composite: what the products of these names are asked for, which their configs refer to.

    Raises:
        UserError: for an unknown split, for `most` below 1, for a product that is not a `Product`, and for what a
            product is asked for that is left out.
    """

    def __init__(
        self,
        protocol: MetricProtocol,
        splits: Sequence[str],
        most: int | None,
        fit_poses: bool,
        pose_fit: Mapping[str, Any],
        products: Mapping[str, Any] | None,
        export: Sequence[str] = (),
        composite: bool = False,
    ) -> None:
        if unknown := set(splits) - set(TITLES):
            raise UserError(
                f"eval.splits={list(splits)}: there is no {', '.join(unknown)}; choose among {list(TITLES)}."
            )
        if most is not None and most < 1:
            raise UserError(f"eval.most={most} must be at least 1, or null for all pictures.")
        self.protocol, self.splits, self.most = protocol, list(splits), most
        self.fit_poses, self.pose_fit = fit_poses, dict(pose_fit)
        self.products: dict[str, Product] = {
            name: product for name, product in (products or {}).items() if product is not None
        }
        if export and "export" not in self.products:
            raise UserError(f"eval.export={list(export)} needs eval.products.export, which is null: leave one out.")
        if composite and "composite" not in self.products:
            raise UserError("eval.composite=true needs eval.products.composite, which is null: leave one out.")
        for name, product in self.products.items():
            if not isinstance(product, Product):
                raise UserError(f"eval.products.{name}={product} is not a product; null leaves a product out.")

    def check(self, subject: Any) -> None:
        """Raises UserError if a `Subject` lacks what a product needs."""
        for product in self.products.values():
            product.check(subject)

    def __call__(self, avatar: Any, datamodule: Any, folder: Path, run: Path | None = None) -> Evaluation:
        """Evaluates into `folder`, and prints the paths of all products at the end.

        Each product replaces the files of an earlier evaluation in the same folder. Every file is replaced atomically.

        Args:
            avatar: a `hashhuman.avatar.protocol.Avatar` that is a module; its training mode is restored at the end.
            datamodule: a `hashhuman.data.datamodule.SubjectDataModule`.
            folder: made if missing.
            run: the run's folder, for products that show how it was trained; None: there is none.

        Returns:
            The evaluation with its report and products.

        Raises:
            UserError: before any file is written, if too many pictures of a split are damaged, or a product lacks
                something (`check`).
        """
        self.check(datamodule.subject)
        chosen = {split: spread(datamodule.splits.get(split, []), self.most) for split in self.splits}
        decoded = {split: _decoded(split, pictures, datamodule) for split, pictures in chosen.items()}
        was_training = avatar.training
        avatar.eval()
        self.protocol.to(avatar.device)
        report: dict[str, Any] = {
            "protocol": type(self.protocol).__name__,
            "columns": self._columns(),
            "device": _device_name(avatar.device),
            "splits": {},
        }
        evaluation = Evaluation(avatar, datamodule, folder, report, {}, run)
        for split in self.splits:
            if pictures := chosen[split]:
                views, damaged = decoded.pop(split)
                sound = [picture for picture in pictures if str(picture.image) not in damaged]
                report["splits"][split] = self._measure(split, sound, views, evaluation) | {"damaged": damaged}
        if self.splits and not report["splits"]:
            log.warning(
                f"No picture was measured: this subject's pictures leave {', '.join(self.splits)} empty. "
                "data.holdout_every and data.test_frames choose which pictures are held out."
            )
        for name, product in self.products.items():
            made = evaluation.made[name] = product.make(evaluation)
            _join(report, made.report)
        for product in self.products.values():
            product.finish(evaluation)
        avatar.train(was_training)
        _print_files(evaluation)
        return evaluation

    def _measure(
        self, split: str, chosen: Sequence[Any], decoded: dict[Path, Any], evaluation: Evaluation
    ) -> dict[str, Any]:
        each, empty, data = [], [], evaluation.datamodule
        read = threads.ordered(lambda picture: decoded.pop(picture.image, None) or data.view(picture), chosen)
        views = enumerate(zip(chosen, read))
        with threads.Background() as submit:
            for index, (picture, view) in track(views, f"evaluating {TITLES[split]}", len(chosen), "pictures"):
                if not (view.mask > 0).any():
                    empty.append(view.name)
                    continue
                vertices = torch.from_numpy(data.subject.vertices(picture.frame))
                pose = evaluation.avatar.refined_pose(view.pose, view.number)
                comparison, milliseconds = _render(evaluation.avatar, view, pose, vertices)
                figures = self.protocol(comparison)
                row = {"picture": view.name} | figures | {"render_ms": milliseconds}
                fitted = None
                if self.fit_poses and split in UNTRAINED_POSES:
                    fitted = self._fitted(evaluation.avatar, view, pose, vertices)
                    row |= {f"{column}_fitted": value for column, value in self.protocol(fitted).items()}
                each.append(row)
                measured = MeasuredPicture(split, view.name, index, len(chosen), comparison, figures, fitted)
                for product in self.products.values():
                    product.picture(evaluation, measured, submit)
        columns = [column for column in each[0] if column != "picture"] if each else []
        mean = {column: statistics.fmean(row[column] for row in each) for column in columns}
        return {"pictures": len(each), "mean": mean, "each": each, "without_person": empty}

    def _columns(self) -> dict[str, str]:
        """Column -> description, of all metrics."""
        plain = dict(self.protocol.columns)
        if not self.fit_poses:
            return plain
        after = "after the pose was fitted to the picture itself"
        return plain | {f"{column}_fitted": f"{meaning}; {after}" for column, meaning in plain.items()}

    def _fitted(self, avatar: Any, view: Any, pose: Any, vertices: torch.Tensor) -> Comparison:
        """A picture after its pose was fitted to it."""
        fitted = avatar.fit_pose(view.camera, view.image, view.mask, pose, **self.pose_fit)
        return _render(avatar, view, fitted, vertices)[0]


def _decoded(split: str, pictures: Sequence[Any], datamodule: Any) -> tuple[dict[Path, Any], list[str]]:
    """The views of a split by their files, up to `MOST_BYTES`, and the damaged pictures, with a warning for each.

    Raises UserError if too many are damaged. All are decoded, since nothing may be written before that is known.
    """
    views, errors, free = {}, {}, MOST_BYTES
    for picture, view in zip(pictures, threads.ordered(datamodule.view_or_damage, pictures)):
        if isinstance(view, UserError):
            errors[str(picture.image)] = view
        elif (size := view.image.nbytes + view.mask.nbytes) <= free:
            views[picture.image], free = view, free - size
    refuse_damage(list(errors.values()), len(pictures), TITLES[split])
    for error in errors.values():
        log.warning("A picture is left out of the evaluation: %s", error)
    return views, list(errors)


def _render(avatar: Any, view: Any, pose: Any, vertices: torch.Tensor) -> tuple[Comparison, float]:
    """Renders a view in a pose. Also returns how many milliseconds this took."""
    device = avatar.device
    _synchronize(device)
    start = time.perf_counter()
    rendered = avatar.render_image(view.camera, pose, view.frame)
    _synchronize(device)
    milliseconds = 1000 * (time.perf_counter() - start)
    truth, mask = view.image.to(device), view.mask.to(device)
    camera = view.camera.to(device)
    return Comparison(rendered.rgb, rendered.alpha, truth, mask, camera, vertices.to(device)), milliseconds


def _join(report: dict[str, Any], entries: Mapping[str, Any]) -> None:
    """Adds entries to a report. Mappings under the same key are merged, since several products may fill one of them."""
    for key, value in entries.items():
        report[key] = report[key] | value if isinstance(report.get(key), dict) else value


def _print_files(evaluation: Evaluation) -> None:
    console = Console()
    for made in evaluation.made.values():
        for label, path in made.files.items():
            console.print(f"{label}: {path}", soft_wrap=True, highlight=False, markup=False)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
