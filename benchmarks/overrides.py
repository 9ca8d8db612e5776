"""The command lines of benchmarks: their own words, then `--` and overrides of train.py."""

from collections.abc import Sequence


def cut(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before the first `--`, and those after it."""
    at = words.index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])
