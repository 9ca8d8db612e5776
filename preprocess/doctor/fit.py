"""Whether a finished fit is good enough to train on."""

import collections
import dataclasses

import numpy as np

from preprocess.findings import Finding, Limits, Verdict, at_least, at_most, ranges
from preprocess.quality import Quality
from preprocess.shift import words

TOPIC = "fit"
_LEAVE_OUT = "leave out pictures without the person: preprocess.frames.start, stop"
_REPORT = "see report.html and pictures/body_fit/"


@dataclasses.dataclass(frozen=True)
class FitChecks:
    """Judges the figures of `quality.npz`.

    Every argument except `tolerance` is a pair of limits (`findings.Limits`) of the figure that it names. Figures are
    those of the camera that the body was fitted to. The other cameras get findings of their own, which at worst warn.

    Args:
        reprojection: distance of the skeleton from the points, in the median picture (% of the person's height).
        silhouette_iou: IoU of body and mask, in the median picture.
        astray: share of the pictures in which one of these two is bad.
        jitter: of the joints, in the median picture (mm).
        tolerance: degrees beyond a joint's range that are ignored.
        beyond_limits: share of the pictures in which a joint rotates further than that.
        interpolated: share of the pictures whose pose was interpolated.
        flipped: share of the pictures in which left and right had been confused.
    """

    reprojection: Limits
    silhouette_iou: Limits
    astray: Limits
    jitter: Limits
    tolerance: float
    beyond_limits: Limits
    interpolated: Limits
    flipped: Limits

    def __call__(self, quality: Quality) -> list[Finding]:
        """The findings, without figures that could not be measured.

        If there are neither points nor masks to compare the body with, a single warning says so.
        """
        findings = [*self._reprojection(quality), *self._silhouette(quality)]
        if not findings:
            advice = "supply points or masks, to tell whether the body lies on the person"
            return [Finding(TOPIC, "body on the person", "unknown", Verdict.WARN, advice)]
        return [
            *findings, *self._shift(quality), self._astray(quality), *self._other_cameras(quality),
            *self._jitter(quality), self._limits(quality), *self._flags(quality), *self._overlapped(quality),
            *self._nobody(quality),
        ]  # fmt: skip

    def _reprojection(self, quality: Quality) -> list[Finding]:
        off = 100 * quality.off[0]
        if not np.isfinite(off).any():
            return []
        middle = float(np.nanmedian(off))
        value = f"{np.nanmedian(quality.reprojection[0]):.1f} px, {middle:.1f} % of the height"
        advice = f"{_REPORT}: is it the right person and focal length, are left and right exchanged?"
        return [Finding(TOPIC, "skeleton off the points", value, at_most(middle, self.reprojection), advice)]

    def _shift(self, quality: Quality) -> list[Finding]:
        """A body that is late or early against the points, as of files numbered otherwise than the pictures."""
        if (shift := int(quality.shift)) == 0:
            return []
        advice = "number the files of the bodies, or of the points, as the pictures of the clip are numbered"
        return [Finding(TOPIC, "body against the points", words(shift), Verdict.BAD, advice)]

    def _silhouette(self, quality: Quality) -> list[Finding]:
        iou = quality.silhouette_iou[0]
        if not np.isfinite(iou).any():
            return []
        middle = float(np.nanmedian(iou))
        advice = f"{_REPORT}: is the focal length right, are clothes wide, is the mask of something else?"
        return [
            Finding(TOPIC, "body over the mask", f"IoU {middle:.2f}", at_least(middle, self.silhouette_iou), advice)
        ]

    def _astray(self, quality: Quality) -> Finding:
        """The pictures in which the body lies off the points or the mask."""
        off_points = [at_most(off, self.reprojection) is Verdict.BAD for off in 100 * quality.off[0]]
        off_mask = [at_least(iou, self.silhouette_iou) is Verdict.BAD for iou in quality.silhouette_iou[0]]
        wrong = np.array(off_points) | np.array(off_mask)
        share = float(wrong.mean())
        value = f"{wrong.sum()} of {len(wrong)}"
        if wrong.any():
            value += f": {ranges(quality.frames[wrong].tolist())}"
        advice = "leave these pictures out: preprocess.frames.start, stop"
        return Finding(TOPIC, "pictures with a bad fit", value, at_most(share, self.astray), advice)

    def _other_cameras(self, quality: Quality) -> list[Finding]:
        """A finding for each other camera; never bad, since it includes the error in depth of a fit to one camera."""
        advice = f"{_REPORT}: are the recordings synchronised (preprocess.frames.offsets), is it their calibration?"
        findings = []
        for camera, off, iou in zip(quality.cameras[1:], 100 * quality.off[1:], quality.silhouette_iou[1:]):
            words, verdicts = [], []
            if np.isfinite(off).any():
                words.append(f"points off by {np.nanmedian(off):.1f} % of the height")
                verdicts.append(at_most(float(np.nanmedian(off)), self.reprojection))
            if np.isfinite(iou).any():
                words.append(f"IoU {np.nanmedian(iou):.2f}")
                verdicts.append(at_least(float(np.nanmedian(iou)), self.silhouette_iou))
            if words:
                verdict = min(Verdict.WARN, max(verdicts))
                findings.append(Finding(TOPIC, f"seen by camera {camera}", ", ".join(words), verdict, advice))
        return findings

    def _jitter(self, quality: Quality) -> list[Finding]:
        if not np.isfinite(quality.jitter).any():
            return []
        middle = float(np.nanmedian(quality.jitter))
        advice = "raise smooth and smooth_pose in preprocess.body_fit.stages, or lower preprocess.frames.step"
        return [Finding(TOPIC, "jitter", f"{middle:.1f} mm", at_most(middle, self.jitter), advice)]

    def _limits(self, quality: Quality) -> Finding:
        wrong = quality.beyond > self.tolerance
        share = float(wrong.mean())
        value = f"{100 * share:.0f} % of the pictures by more than {self.tolerance:g}°"
        if wrong.any():
            joint, _ = collections.Counter(quality.worst_joint[wrong].tolist()).most_common(1)[0]
            value += f", mostly {quality.joint_names[joint].replace('_', ' ')}"
        return Finding(TOPIC, "joints beyond their range", value, at_most(share, self.beyond_limits), _REPORT)

    def _flags(self, quality: Quality) -> list[Finding]:
        rows = (
            ("poses filled in", quality.interpolated, self.interpolated, _LEAVE_OUT),
            ("left and right exchanged", quality.flipped, self.flipped, _REPORT),
        )
        count = len(quality.frames)
        findings = []
        for name, flags, limits, advice in rows:
            value = f"{flags.sum()} of {count}{_listed(quality, flags)}"
            findings.append(Finding(TOPIC, name, value, at_most(float(flags.mean()), limits), advice))
        return findings

    def _overlapped(self, quality: Quality) -> list[Finding]:
        """The pictures in which somebody else covers the person, or is covered."""
        flags = quality.overlapped
        if not flags.any():
            return []
        value = f"{flags.sum()} of {len(flags)}{_listed(quality, flags)}"
        advice = f"{_REPORT} and pictures/masks/; leave them out if masks are wrong: preprocess.frames.start, stop"
        return [Finding(TOPIC, "somebody overlaps", value, Verdict.WARN, advice)]

    def _nobody(self, quality: Quality) -> list[Finding]:
        """The pictures with an empty mask, which neither train nor are scored."""
        empty = np.isnan(quality.height[0])
        if not empty.any() or empty.all():  # all: there are no masks
            return []
        value = f"{empty.sum()} of {len(empty)}{_listed(quality, empty)}; not trained on, not scored"
        advice = "nothing, if nobody is there; else leave them out: preprocess.frames.start, stop"
        return [Finding(TOPIC, "pictures without the person", value, Verdict.WARN, advice)]


def _listed(quality: Quality, flags: np.ndarray) -> str:
    return f": {ranges(quality.frames[flags].tolist())}" if flags.any() else ""
