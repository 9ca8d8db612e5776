"""Findings in words."""

from preprocess.findings import Finding, Verdict, worst_in_words


def test_the_worst_findings_are_named():
    fine, doubtful = (
        Finding("clip", "size", "720 x 1280"),
        Finding("clip", "sides seen", "44 % of a turn", Verdict.WARN),
    )
    bad = [Finding("clip", "rate", "2 per second", Verdict.BAD), Finding("fit", "jitter", "90 mm", Verdict.BAD)]
    assert worst_in_words([fine]) == "1 findings, all ok"
    assert worst_in_words([fine, doubtful]) == "2 findings, warn: sides seen 44 % of a turn"
    assert worst_in_words([fine, *bad, doubtful]) == "4 findings, bad: rate 2 per second; jitter 90 mm"
