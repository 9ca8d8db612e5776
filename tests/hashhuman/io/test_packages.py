"""Optional packages: missing, broken and installed."""

import sys
from pathlib import Path

import pytest

from hashhuman.errors import UserError
from hashhuman.io.packages import require_package, requiring


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a package `optional_thing` with the given source."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> None:
        (tmp_path / "optional_thing").mkdir()
        (tmp_path / "optional_thing/__init__.py").write_text(source)

    yield write
    sys.modules.pop("optional_thing", None)


def require(module: str = "optional_thing"):
    return require_package(module, "encoder=thing", "choose encoder=auto", "optional-thing")


def test_installed_packages_are_imported(package):
    package("answer = 42")
    assert require().answer == 42


@pytest.mark.parametrize("module", ["optional_thing", "optional_thing.part"])
def test_missing_packages_are_one_sentence(module: str):
    with pytest.raises(UserError) as raised:
        require(module)
    sentence = "encoder=thing needs the package optional-thing, which is not installed: choose encoder=auto."
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("raise OSError('Unknown compute capability 9.9.\\nmore')", "OSError: Unknown compute capability 9.9"),
        ("raise ImportError('libcudart.so.11: cannot open')", "ImportError: libcudart.so.11: cannot open"),
        ("import other_thing_that_it_needs", "ModuleNotFoundError: No module named 'other_thing_that_it_needs'"),
        ("assert False", "AssertionError"),
    ],
)
def test_broken_packages_are_one_sentence_with_the_cause(package, source: str, cause: str):
    package(source)
    with pytest.raises(UserError) as raised:
        require()
    assert f"which is installed but does not import ({cause}): choose encoder=auto." in str(raised.value)
    assert "\n" not in str(raised.value) and raised.value.__cause__ is not None


def test_requiring_adds_the_check_to_a_function():
    @requiring(lambda: 7)
    def made() -> int:
        return 3

    assert made() == 3 and vars(made)["require"]() == 7
