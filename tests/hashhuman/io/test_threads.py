"""Work spread over threads."""

import threading
import time

import pytest
import torch

from hashhuman.io.threads import Background, alone, ordered
from tests.processes import PATIENCE


def test_results_come_in_order_whatever_takes_longest():
    def work(n: int) -> int:
        time.sleep(0.02 * (n % 3 == 0))
        return n * n

    assert list(ordered(work, range(20), ahead=4)) == [n * n for n in range(20)]
    assert list(ordered(work, [])) == []


def test_it_is_not_far_ahead_of_whoever_takes_the_results():
    begun = []
    results = ordered(lambda n: begun.append(n) or n, iter(range(100)), ahead=3)
    assert next(results) == 0 and next(results) == 1
    assert len(begun) <= 4


def test_several_at_a_time(monkeypatch):
    monkeypatch.setattr("hashhuman.io.threads.WORKERS", 2)
    meeting = threading.Barrier(2, timeout=PATIENCE)
    assert len(list(ordered(lambda n: meeting.wait(), range(4), ahead=4))) == 4  # a single thread would wait for ever


def test_an_error_stands_in_the_place_of_its_result():
    results = ordered(lambda n: 6 // n, [3, 0, 2], ahead=1)
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_calls_in_the_background_are_waited_for():
    done = []
    with Background() as beside:
        for n in range(5):
            beside(lambda n=n: (time.sleep(0.01), done.append(n)))
    assert sorted(done) == [0, 1, 2, 3, 4]


def test_their_errors_are_raised_and_do_not_hide_others():
    with pytest.raises(ZeroDivisionError), Background() as beside:
        beside(lambda: 1 // 0)
    with pytest.raises(KeyError), Background() as beside:
        beside(lambda: 1 // 0)
        raise KeyError


def test_each_computes_alone_and_nothing_else_changes():
    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert set(ordered(lambda _: torch.get_num_threads(), range(8))) == {1}
        assert torch.get_num_threads() == 2
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [2]
    finally:
        torch.set_num_threads(usual)


def test_alone_and_as_before():
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ValueError, match="inside"), alone() as before:
            assert before == 3 and torch.get_num_threads() == 1
            raise ValueError("inside")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)


def test_a_thread_that_begins_while_another_is_alone_spoils_no_count():
    """PyTorch gives it one thread, which is neither its share nor that of threads that begin later."""
    usual, counts = torch.get_num_threads(), []

    def second() -> None:
        with alone() as before:
            counts.append(before)
        counts.append(torch.get_num_threads())

    torch.set_num_threads(3)
    try:
        with alone():
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        later = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert counts == [3, 3, 3] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)
