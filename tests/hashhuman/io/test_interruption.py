"""A command that runs until it is interrupted ends in order."""

import os
import signal

import pytest

from hashhuman.io import interruption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_was_waited_for_is_no_failure(interruptible, number):
    with interruption.watched():
        with pytest.raises(interruption.Interrupted):
            os.kill(os.getpid(), number)
            signal.pause()
        interruption.handled()
    assert interruption.requested() is None


def test_another_one_is(interruptible):
    with pytest.raises(interruption.Interrupted), interruption.watched():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        except interruption.Interrupted:
            pass


def test_an_error_of_what_cleans_up_does_not_take_its_place(interruptible):
    with pytest.raises(interruption.Interrupted), interruption.watched():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        finally:
            raise AttributeError("half made")


def test_an_error_without_a_signal_stays(interruptible):
    with pytest.raises(AttributeError), interruption.watched():
        raise AttributeError("half made")
