"""Prints findings as a table."""

import itertools
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from preprocess.findings import Finding, Verdict

STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.BAD: "bold red"}
PAGE = 120  # columns, if the output is no terminal


def print_table(findings: Sequence[Finding], console: Console) -> None:
    """Prints a section for each topic and a row for each finding, with advice where the verdict is not OK."""
    table = Table(box=None, show_header=False)
    table.add_column(width=4)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for topic, group in itertools.groupby(findings, key=lambda finding: finding.topic):
        table.add_row("", Text(topic, "bold"), "", "")
        for finding in group:
            verdict = Text(finding.verdict.word, STYLES[finding.verdict])
            advice = "" if finding.verdict is Verdict.OK else finding.advice
            table.add_row(verdict, Text(finding.name), Text(finding.value), Text(advice))
        table.add_row()
    console.print(table)
