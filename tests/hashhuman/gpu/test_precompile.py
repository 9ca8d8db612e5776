"""Kernels compiled before they are launched."""

import shutil

import pytest

from tests.hashhuman.compiled import told_by

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="Triton needs a C compiler")


@pytest.fixture(scope="module")
def told() -> dict:
    """The output of tests/hashhuman/compiled_ahead.py."""
    return told_by("tests.hashhuman.compiled_ahead")


def test_launches_find_the_kernels_of_the_dry_run_compiled(told):
    assert told["compiled in the dry run"] == 0
    assert told["found compiled"] == [True, True, False]  # the last was not in the dry run
    assert told["launchers"] == 1  # of two variants with the same arguments


def test_kernels_equal_those_compiled_one_by_one(told):
    assert told["kernels"] == 3 and told["alike"]


def test_an_error_shows_where_the_kernel_is_launched(told):
    assert told["refused"] == {"at the launch": True, "at the end": True}


def test_tritons_hook_is_removed(told):
    assert not told["hook left"]
