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


def test_a_process_that_ignores_signals_does_so_after_a_library_has_put_its_own_handlers(
    interruptible, monkeypatch: pytest.MonkeyPatch
):
    """Lightning's would ask the other processes, of which the first one waits for this one in a sum."""
    monkeypatch.setattr(interruption._State, "ignoring", False)
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    try:
        interruption.ignore()
        signal.signal(signal.SIGTERM, lambda *_: pytest.fail("the library's handler ran"))
        interruption.install()
        for number in interruption.SIGNALS:
            os.kill(os.getpid(), number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
