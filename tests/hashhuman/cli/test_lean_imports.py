"""Imports that are postponed until they are used."""

import builtins
import gc
import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from hashhuman.cli.lean_imports import postpone, without_garbage_collection


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    """The name of a module that notes its import."""
    (tmp_path / "slow_module.py").write_text("import builtins\nbuiltins.slow_module_ran = True\nuseful = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.slow_module_ran", False, raising=False)
    yield "slow_module"
    sys.modules.pop("slow_module", None)


def ran() -> bool:
    return builtins.slow_module_ran


def test_a_postponed_module_is_imported_when_it_is_used(module):
    postpone(module, known=3)
    stand_in = importlib.import_module(module)
    assert stand_in.known == 3 and not ran()
    assert not hasattr(stand_in, "__path__") and not ran()
    assert stand_in.useful == 7 and ran()
    assert stand_in.useful == 7  # through the stand-in, too, which others may hold
    real = importlib.import_module(module)
    assert real is not stand_in and real.useful == 7
    with pytest.raises(AttributeError):
        _ = stand_in.absent


def test_names_can_be_imported_from_a_postponed_module(module):
    postpone(module)
    found: dict = {}
    exec(f"from {module} import useful", found)  # noqa: S102
    assert found["useful"] == 7 and ran()


def test_imported_modules_are_not_postponed(monkeypatch):
    mine = ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", mine)
    postpone("mine")
    assert sys.modules["mine"] is mine


def test_a_run_does_not_import_scipy_signal():
    """It is imported when something uses it."""
    script = (
        "from hashhuman.cli.lean_imports import postpone_scipy_signal; postpone_scipy_signal(); "
        "import sys, torchmetrics; "
        "assert 'scipy.stats' not in sys.modules and 'scipy.signal._signaltools' not in sys.modules; "
        "import scipy.signal; assert len(scipy.signal.windows.hann(5)) == 5; from scipy.signal import hilbert; "
        "assert 'scipy.signal._signaltools' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_imported_objects_are_excluded_from_garbage_collection():
    was = gc.get_freeze_count()
    try:
        with without_garbage_collection():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
        assert gc.isenabled() and gc.get_freeze_count() >= was + len(kept)
        with pytest.raises(ZeroDivisionError), without_garbage_collection():
            _ = 1 // 0
        assert gc.isenabled()
    finally:
        gc.unfreeze()
