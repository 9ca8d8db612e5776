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
    assert not hasattr(stand_in, "__wrapped__") and not ran()  # the import system and others look for such names
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


@pytest.fixture
def package(tmp_path, monkeypatch) -> str:
    """The name of a package that imports one of its two modules itself; each has a list of its own."""
    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package/__init__.py").write_text("from slow_package import early\n")
    for name in ("early", "late"):
        (tmp_path / f"slow_package/{name}.py").write_text("made = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "slow_package"
    for name in [name for name in sys.modules if name.startswith("slow_package")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["early", "late"])
def test_modules_of_a_postponed_package_are_imported_once(package, name):
    postpone(package)
    stand_in = sys.modules[package]
    module = importlib.import_module(f"{package}.{name}")
    real = importlib.import_module(package)
    assert real is not stand_in and getattr(real, name) is module is sys.modules[f"{package}.{name}"]
    assert getattr(stand_in, name).made is module.made and module.__spec__.origin.endswith(f"{name}.py")
    assert real.early is importlib.import_module(f"{package}.early")
    with pytest.raises(ModuleNotFoundError, match="absent"):
        importlib.import_module(f"{package}.absent")


def test_a_module_that_a_postponed_package_lacks(package):
    postpone(package)
    with pytest.raises(ModuleNotFoundError, match="absent"):
        importlib.import_module(f"{package}.absent")


COMPILER = """
import sys
from hashhuman.cli import lean_imports
lean_imports.postpone_scipy_signal()
lean_imports.postpone_compiler()
import hashhuman.training.run, lightning as L, torch
weight = torch.nn.Parameter(torch.ones(3))
optimizer = torch.optim.Adam([weight], lr=0.5)
weight.square().sum().backward()
optimizer.step()
optimizer.zero_grad()
assert torch._dynamo.disable(len) is len is torch._dynamo.disable(recursive=True, reason=None)(len)
assert torch.allclose(weight, torch.tensor(0.5), atol=1e-4) and weight.grad is None
assert not {"sympy", "torch._inductor", "torch._dynamo.utils"} & {*sys.modules}
assert torch.cuda.is_available() or "triton" not in sys.modules
from torch._dynamo.testing import CompileCounter
counter = CompileCounter()
assert torch.compile(lambda x: x.sin() + 1, backend=counter)(torch.zeros(2)).tolist() == [1, 1]
assert counter.frame_count == 1
from torch.utils.flop_counter import FlopCounterMode
with FlopCounterMode(display=False) as counted:
    torch.ones(2, 3) @ torch.ones(3, 4)
assert counted.get_total_flops() == 2 * 2 * 3 * 4
optimizer.step()
"""


def test_a_run_imports_the_compiler_only_where_it_is_used():
    subprocess.run([sys.executable, "-c", COMPILER], check=True)


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
