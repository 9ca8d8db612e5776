"""Kernels compiled before they are launched."""

import shutil

import pytest

from tests.hashhuman.compiled import told_by

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="Triton needs a C compiler")


@pytest.fixture(scope="module")
def told() -> dict:
    """What tests/hashhuman/compiled_ahead.py found."""
    return told_by("tests.hashhuman.compiled_ahead")


def test_a_launch_finds_what_was_listed(told):
    assert told["compiled while listing_only"] == 0
    assert told["found compiled"] == [True, True, False]  # the last was not listed
    assert told["launchers"] == 1  # of two variants with the same arguments


def test_kernels_are_those_that_are_compiled_one_by_one(told):
    assert told["kernels"] == 3 and told["alike"]


def test_an_error_shows_where_the_kernel_is_launched(told):
    assert told["refused"] == {"at the launch": True, "at the end": True}


def test_triton_is_left_as_it_was(told):
    assert not told["hook left"]
