"""What a check finds: a figure, a verdict on it, and advice."""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

Limits = Sequence[float | None]
"""Two numbers: a figure is fine up to (or down to) the first, and bad beyond the second; None: never bad."""


class Verdict(enum.IntEnum):
    """How good a figure is; the larger, the worse."""

    OK, WARN, BAD = range(3)

    @property
    def word(self) -> str:
        """The verdict as users see it."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True)
class Finding:
    """One row of the doctor's table."""

    topic: str
    """The section of the table."""
    name: str
    value: str
    verdict: Verdict = Verdict.OK
    advice: str = ""
    """What to do, in one phrase; shown if the verdict is not OK."""


def at_most(value: float, limits: Limits) -> Verdict:
    """The verdict on a figure that should be small."""
    fine, bad = limits
    if bad is not None and value > bad:
        return Verdict.BAD
    return Verdict.OK if fine is None or value <= fine else Verdict.WARN


def at_least(value: float, limits: Limits) -> Verdict:
    """The verdict on a figure that should be large."""
    return at_most(-value, [None if limit is None else -limit for limit in limits])


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict; OK if there are no findings."""
    return max((finding.verdict for finding in findings), default=Verdict.OK)


def worst_in_words(findings: Sequence[Finding]) -> str:
    """How many findings there are, and which are the worst: '16 findings, bad: rate 2 per second'."""
    verdict = worst(findings)
    if verdict is Verdict.OK:
        return f"{len(findings)} findings, all ok"
    named = (f"{finding.name} {finding.value}" for finding in findings if finding.verdict is verdict)
    return f"{len(findings)} findings, {verdict.word}: {'; '.join(named)}"


def ranges(frames: list[int], most: int = 3) -> str:
    """Ascending frame numbers in short, such as '3-5, 8, 11-20, ...': the first `most` runs."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join([*words[:most], *(["..."] if len(words) > most else [])])
