"""What the networks' runtime says, and what is passed on."""

import os

import pytest

from preprocess.keypoints import litert


def test_remarks_are_kept_back_and_errors_are_not(capfd: pytest.CaptureFixture[str]):
    with litert._without_info_lines():
        os.write(2, b"INFO: Created a delegate.\nERROR: no such operator\n")
        os.write(2, b"something of another thread\n")
    os.write(2, b"INFO: afterwards\n")
    assert capfd.readouterr().err == "ERROR: no such operator\nsomething of another thread\nINFO: afterwards\n"


def test_errors_are_passed_on_when_the_runtime_fails(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(RuntimeError), litert._without_info_lines():
        os.write(2, b"INFO: Created a delegate.\nERROR: no memory\n")
        raise RuntimeError
    assert capfd.readouterr().err == "ERROR: no memory\n"
