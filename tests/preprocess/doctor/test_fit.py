"""Each check of a fit, on both sides of its limits, and the gate that they make."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashhuman.errors import UserError
from preprocess.doctor.fit import FitChecks
from preprocess.findings import Finding, Verdict, ranges, worst
from preprocess.pipeline import refuse_bad_fit
from preprocess.quality import Quality
from tests.preprocess.doctor.limits import checks

FRAMES = 40


def good(**changes: Any) -> Quality:
    """Figures like those of a good fit, seen by one camera."""
    quality = Quality(
        cameras=("00",),
        frames=np.arange(FRAMES),
        height=np.full((1, FRAMES), 400.0),
        reprojection=np.full((1, FRAMES), 5.0),
        silhouette_iou=np.full((1, FRAMES), 0.82),
        jitter=np.full(FRAMES, 1.0),
        beyond=np.zeros(FRAMES),
        worst_joint=np.zeros(FRAMES, int),
        interpolated=np.zeros(FRAMES, bool),
        flipped=np.zeros(FRAMES, bool),
        overlapped=np.zeros(FRAMES, bool),
        joint_names=("pelvis", "left_knee"),
        shift=np.array(0),
    )
    rows = {name: np.atleast_2d(changes.pop(name)) for name in ("reprojection", "silhouette_iou") if name in changes}
    return dataclasses.replace(quality, **changes, **rows)


def test_pictures_without_the_person_are_named(fit: FitChecks):
    height = np.full((1, FRAMES), 400.0)
    height[0, :16] = np.nan  # their masks are empty
    finding = found(fit, good(height=height), "pictures without the person")
    assert finding.verdict is Verdict.WARN and finding.value == "16 of 40: 0-15; not trained on, not scored"


def share(of: float) -> np.ndarray:
    """So many of the frames."""
    return np.arange(FRAMES) < round(of * FRAMES)


@pytest.fixture(scope="module")
def fit() -> FitChecks:
    return checks("fit")


def found(fit: FitChecks, quality: Quality, name: str) -> Finding:
    return next(finding for finding in fit(quality) if finding.name == name)


def test_a_good_fit(fit: FitChecks):
    findings = fit(good())
    assert len(findings) == 7 and worst(findings) is Verdict.OK


@pytest.mark.parametrize(
    ("name", "changes", "verdict"),
    [
        ("skeleton off the points", {"reprojection": np.full(FRAMES, 9.9)}, Verdict.OK),  # 2.5 % of 400
        ("skeleton off the points", {"reprojection": np.full(FRAMES, 10.1)}, Verdict.WARN),
        ("skeleton off the points", {"reprojection": np.full(FRAMES, 19.9)}, Verdict.WARN),
        ("skeleton off the points", {"reprojection": np.full(FRAMES, 20.1)}, Verdict.BAD),
        ("body over the mask", {"silhouette_iou": np.full(FRAMES, 0.73)}, Verdict.OK),
        ("body over the mask", {"silhouette_iou": np.full(FRAMES, 0.71)}, Verdict.WARN),
        ("body over the mask", {"silhouette_iou": np.full(FRAMES, 0.54)}, Verdict.BAD),
        ("pictures with a bad fit", {"silhouette_iou": np.where(share(0.05), 0.3, 0.8)}, Verdict.OK),
        ("pictures with a bad fit", {"silhouette_iou": np.where(share(0.1), 0.3, 0.8)}, Verdict.WARN),
        ("pictures with a bad fit", {"reprojection": np.where(share(0.4), 50.0, 5.0)}, Verdict.BAD),
        ("jitter", {"jitter": np.full(FRAMES, 4.9)}, Verdict.OK),
        ("jitter", {"jitter": np.full(FRAMES, 5.1)}, Verdict.WARN),
        ("jitter", {"jitter": np.full(FRAMES, 25.1)}, Verdict.BAD),
        ("joints beyond their range", {"beyond": np.full(FRAMES, 9.0)}, Verdict.OK),
        ("joints beyond their range", {"beyond": np.where(share(0.15), 30.0, 0.0)}, Verdict.OK),
        ("joints beyond their range", {"beyond": np.full(FRAMES, 11.0)}, Verdict.WARN),
        ("poses filled in", {"interpolated": share(0.1)}, Verdict.OK),
        ("poses filled in", {"interpolated": share(0.2)}, Verdict.WARN),
        ("poses filled in", {"interpolated": share(0.6)}, Verdict.BAD),
        ("left and right exchanged", {"flipped": share(0.1)}, Verdict.OK),
        ("left and right exchanged", {"flipped": share(0.2)}, Verdict.WARN),
    ],
)
def test_both_sides_of_every_limit(fit: FitChecks, name: str, changes: dict, verdict: Verdict):
    finding = found(fit, good(**changes), name)
    assert finding.verdict is verdict
    assert finding.advice


def two_cameras(off: float, iou: float) -> dict[str, Any]:
    """A good fit, and so much in the other camera."""
    rows = {"reprojection": (5.0, 4 * off), "silhouette_iou": (0.82, iou), "height": (400.0, 400.0)}
    return {"cameras": ("00", "01")} | {name: np.array(both)[:, None].repeat(FRAMES, 1) for name, both in rows.items()}


@pytest.mark.parametrize(
    ("off", "iou", "verdict"),
    [
        (2.4, 0.73, Verdict.OK),
        (2.6, 0.73, Verdict.WARN),
        (2.4, 0.71, Verdict.WARN),
        (50.0, 0.1, Verdict.WARN),  # never bad: the fit may be right where it was made
        (np.nan, 0.1, Verdict.WARN),
    ],
)
def test_what_another_camera_sees(fit: FitChecks, off: float, iou: float, verdict: Verdict):
    findings = fit(good(**two_cameras(off, iou)))
    finding = next(each for each in findings if each.name == "seen by camera 01")
    assert finding.verdict is worst(findings) is verdict
    assert ("points off" in finding.value) == np.isfinite(off) and f"IoU {iou:.2f}" in finding.value


def test_a_camera_with_nothing_to_compare_is_left_out(fit: FitChecks):
    assert len(fit(good(**two_cameras(np.nan, np.nan)))) == len(fit(good()))


def test_figures_are_those_of_the_median_picture(fit: FitChecks):
    finding = found(fit, good(reprojection=np.where(share(0.4), 500.0, 5.0)), "skeleton off the points")
    assert finding.verdict is Verdict.OK and finding.value == "5.0 px, 1.2 % of the height"
    astray = found(fit, good(reprojection=np.where(share(0.4), 500.0, 5.0)), "pictures with a bad fit")
    assert astray.value == "16 of 40: 0-15"


def test_what_is_unknown_is_left_out(fit: FitChecks):
    nothing = np.full(FRAMES, np.nan)
    names = {finding.name for finding in fit(good(reprojection=nothing))}
    assert "skeleton off the points" not in names and "body over the mask" in names
    (finding,) = fit(good(reprojection=nothing, silhouette_iou=nothing))
    assert finding.verdict is Verdict.WARN and finding.value == "unknown"


def test_the_joint_that_is_turned_too_far_is_named(fit: FitChecks):
    finding = found(
        fit, good(beyond=np.full(FRAMES, 20.0), worst_joint=np.ones(FRAMES, int)), "joints beyond their range"
    )
    assert finding.value == "100 % of the pictures by more than 10°, mostly left knee"


def test_ranges():
    assert ranges([3, 4, 5, 8, 11, 12]) == "3-5, 8, 11-12"
    assert ranges([1, 3, 5, 7, 9]) == "1, 3, 5, ..."
    assert ranges([]) == ""


def test_the_gate(fit: FitChecks, tmp_path: Path):
    refuse_bad_fit(fit(good()), tmp_path)
    refuse_bad_fit(fit(good(silhouette_iou=np.full(FRAMES, 0.6))), tmp_path)  # doubtful is not bad
    with pytest.raises(UserError) as refused:
        refuse_bad_fit(fit(good(silhouette_iou=np.full(FRAMES, 0.2))), tmp_path)
    said = str(refused.value)
    assert "body over the mask: IoU 0.20" in said and "\n" not in said
    assert f"pictures/body_fit in {tmp_path}" in said and "preprocess.gate=false" in said


def test_pictures_in_which_somebody_overlaps_are_named(fit: FitChecks):
    finding = found(fit, good(overlapped=np.isin(np.arange(FRAMES), [3, 4, 5, 20])), "somebody overlaps")
    assert finding.verdict is Verdict.WARN and finding.value == "4 of 40: 3-5, 20"
    assert "somebody overlaps" not in {each.name for each in fit(good())}
