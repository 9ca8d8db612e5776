"""The avatar is used by one thread at a time, and during training only as much as it may be."""

import threading

from hashhuman.view.turns import AnyTime, BetweenSteps


def test_any_time_is_one_at_a_time():
    turns, inside = AnyTime(), threading.Event()
    with turns.mine(1.0) as mine:
        assert mine

        def other() -> None:
            with turns.mine(0.01) as got:
                assert not got
                inside.set()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        assert inside.is_set()
    with turns.mine(0.01) as mine:
        assert mine


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_without_training_there_is_no_turn():
    with BetweenSteps(0.1).mine(0.01) as mine:
        assert not mine


def test_pictures_take_their_share_of_the_time():
    clock = Clock()
    turns, stop = BetweenSteps(0.1, clock), threading.Event()

    def tab() -> None:
        while not stop.is_set():
            with turns.mine(0.02) as mine:
                if mine:
                    clock.time += 0.5  # a piece

    threads = [threading.Thread(target=tab) for _ in range(2)]
    for thread in threads:
        thread.start()
    stepping, given = 0.0, 0
    for _ in range(400):
        clock.time += 0.25  # a step
        stepping += 0.25
        while not turns._waiting:
            pass
        if turns.due():
            turns.give()
            given += 1
    stop.set()
    for thread in threads:
        thread.join(10)
    assert given > 10 and clock.time == stepping + 0.5 * given
    assert turns.spent <= 0.1 * clock.time + 0.5
    assert turns.spent > 0.08 * clock.time


def test_a_turn_that_nobody_takes_is_none():
    turns = BetweenSteps(1.0)
    turns.give()
    assert turns.spent == 0 and not turns.due()
