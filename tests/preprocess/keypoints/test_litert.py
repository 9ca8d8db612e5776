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


def test_networks_are_lent_to_one_thread_at_a_time(monkeypatch):
    made = []

    def make(threads: int) -> object:
        made.append(threads)
        return object()

    monkeypatch.setattr(litert, "cores", lambda: 7)
    networks = litert.Networks(make, most=3)
    assert made == [2, 2, 2]
    with networks.idle() as a, networks.idle() as b:
        with networks.idle() as c:
            assert len({id(a), id(b), id(c)}) == 3
        with networks.idle() as again:
            assert again is c


def test_a_network_comes_back_after_a_failure(monkeypatch):
    monkeypatch.setattr(litert, "cores", lambda: 1)
    networks = litert.Networks(lambda threads: object())
    with pytest.raises(ZeroDivisionError), networks.idle():
        raise ZeroDivisionError
    with networks.idle() as network:
        assert network is not None
