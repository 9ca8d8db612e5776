"""What a check finds: one line, how good that is, and what to do about it."""

import dataclasses
import enum
from collections.abc import Iterable, Sequence

Limits = Sequence[float | None]
"""Two numbers: fine up to (or down to) the first, bad beyond the second; None in its place: never bad."""


class Verdict(enum.IntEnum):
    """How good something is; the larger, the worse."""

    OK, WARN, BAD = range(3)

    @property
    def word(self) -> str:
        """As it is shown."""
        return self.name.lower()


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    topic: str
    name: str
    value: str
    verdict: Verdict = Verdict.OK
    advice: str = ""
    """What to do about it, in a phrase; shown where the verdict is not OK."""


def at_most(value: float, limits: Limits) -> Verdict:
    """The verdict on a figure of which less is better."""
    fine, bad = limits
    if bad is not None and value > bad:
        return Verdict.BAD
    return Verdict.OK if fine is None or value <= fine else Verdict.WARN


def at_least(value: float, limits: Limits) -> Verdict:
    """The verdict on a figure of which more is better."""
    return at_most(-value, [None if limit is None else -limit for limit in limits])


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict; OK if there are no findings."""
    return max((finding.verdict for finding in findings), default=Verdict.OK)
