"""What is done again and what is not, and what is left when a stage fails."""

import io
import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console
from rich.progress import Progress

from hashhuman.data.subject import SubjectWriter
from hashhuman.errors import UserError
from hashhuman.io import leftovers
from hashhuman.io.files import load_json
from preprocess.stage import Stage, files_under, run_stages, stamp_path


class Copy(Stage):
    """Writes the source's words, one a file."""

    name: ClassVar[str] = "copy"

    def __init__(self, source: Path, suffix: str = ".txt", force: bool = False, fail_at: int | None = None):
        self.source, self.suffix, self.force, self.fail_at = source, suffix, force, fail_at
        self.runs = 0

    def inputs(self, subject: Path) -> list[Path]:
        return [self.source]

    def outputs(self, subject: Path) -> list[Path]:
        return [subject / "words"]

    def settings(self) -> dict[str, Any]:
        return {"suffix": self.suffix}

    def run(self, subject: Path, progress: Progress) -> str:
        self.runs += 1
        words = self.source.read_text().split()
        (subject / "words").mkdir(parents=True, exist_ok=True)
        for i, word in enumerate(words):
            if i == self.fail_at:
                raise UserError("disk full")
            temporary = subject / "words" / f".{i}"
            temporary.write_text(word)
            os.replace(temporary, subject / "words" / f"{i}{self.suffix}")
        return f"{len(words)} words"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("one two three")
    return path


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return tmp_path / "subject"


def run(stage: Stage, subject: Path, force: bool = False) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_stages([stage], subject, force, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words(subject: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((subject / "words").iterdir())}


def test_says_what_how_long_and_where_once(source: Path, subject: Path) -> None:
    line = run(Copy(source), subject)
    assert line.count("\n") == 1
    assert "copy" in line and "3 words" in line and " s " in line and str(subject / "words") in line


def test_skips_what_is_unchanged(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    again = Copy(source)
    assert "skipped" in run(again, subject)
    assert again.runs == 0


def test_content_counts_and_not_time_or_place(source: Path, subject: Path, tmp_path: Path) -> None:
    run(Copy(source), subject)
    (tmp_path / "elsewhere").mkdir()
    moved = source.rename(tmp_path / "elsewhere" / source.name)
    os.utime(moved, (1, 1))
    os.utime(subject / "words/0.txt", (1, 1))
    stage = Copy(moved)
    run(stage, subject)
    assert stage.runs == 0


@pytest.mark.parametrize("force", ["stage", "all"])
def test_force(source: Path, subject: Path, force: str) -> None:
    run(Copy(source), subject)
    stage = Copy(source, force=force == "stage")
    run(stage, subject, force=force == "all")
    assert stage.runs == 1


def test_changed_input_runs_again_and_drops_leftovers(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    source.write_text("four five")
    run(Copy(source), subject)
    assert words(subject) == {"0.txt": "four", "1.txt": "five"}


def test_changed_setting_runs_again_and_drops_leftovers(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    run(Copy(source, suffix=".md"), subject)
    assert sorted(words(subject)) == ["0.md", "1.md", "2.md"]


def test_new_version_of_the_code_runs_again(source: Path, subject: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(Copy(source), subject)
    monkeypatch.setattr(Copy, "version", 2)
    stage = Copy(source)
    run(stage, subject)
    assert stage.runs == 1


@pytest.mark.parametrize("harm", ["damaged", "truncated", "missing", "added", "stamp", "empty stamp"])
def test_harmed_outputs_are_made_again(source: Path, subject: Path, harm: str) -> None:
    stage = Copy(source)
    run(stage, subject)
    file = subject / "words/1.txt"
    match harm:
        case "damaged":
            file.write_text("owt")  # of the same size
            os.utime(file, (1, 1))
        case "truncated":
            file.write_text("")
        case "missing":
            file.unlink()
        case "added":
            (subject / "words/7.txt").write_text("seven")
        case "stamp":
            stamp_path(stage, subject).write_text('{"settings": ')
        case "empty stamp":
            stamp_path(stage, subject).write_text("{}")
    run(stage, subject)
    assert stage.runs == 2
    assert words(subject) == {"0.txt": "one", "1.txt": "two", "2.txt": "three"}


def test_failure_leaves_finished_stages_and_no_stamp(source: Path, subject: Path) -> None:
    class Second(Copy):
        name = "second"

        def outputs(self, subject: Path) -> list[Path]:
            return [subject / "others"]

    first = Copy(source)
    with pytest.raises(UserError, match="disk full"):
        run_stages([first, Second(source, fail_at=1)], subject, console=Console(file=io.StringIO()))
    assert not stamp_path(Second(source), subject).exists()
    run(first, subject)
    assert first.runs == 1


def test_failed_repetition_keeps_what_did_not_change(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    with pytest.raises(UserError):
        run(Copy(source, force=True, fail_at=0), subject)
    stage = Copy(source)
    run(stage, subject)
    assert stage.runs == 0 and len(words(subject)) == 3


def test_stamp_holds_settings_and_content(source: Path, subject: Path) -> None:
    stage = Copy(source)
    run(stage, subject)
    stamp = load_json(stamp_path(stage, subject))
    assert stamp["settings"] == {"version": 1, "suffix": ".txt"}
    assert list(stamp["inputs"]) == ["source.txt"] and list(stamp["outputs"]) == [
        "words/0.txt",
        "words/1.txt",
        "words/2.txt",
    ]
    size, _, sha256 = stamp["outputs"]["words/0.txt"]
    assert (
        size == 3 and sha256 == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    )  # sha256sum of one


def test_half_written_files_are_no_content(subject: Path) -> None:
    subject.mkdir()
    (subject / ".half.txt").write_text("")
    (subject / "whole.txt").write_text("")
    assert list(files_under([subject, subject / "absent"], subject)) == ["whole.txt"]


class Lacking(Copy):
    """A stage that asks for something."""

    def missing(self) -> str | None:
        return "There are no weights; download them."


def test_what_only_the_user_can_supply_is_asked_for_before_anything_runs(source: Path, subject: Path):
    first, last = Copy(source), Lacking(source)
    with pytest.raises(UserError, match="There are no weights"):
        run_stages([first, last], subject)
    assert first.runs == last.runs == 0
    run(Copy(source), subject)
    run_stages([last], subject)  # finished: nothing is needed
    assert last.runs == 0
    with pytest.raises(UserError, match="There are no weights"):
        run_stages([last], subject, force=True)


# ------------------------------------------------------------------ nothing outside the subject, nothing of the user's


def test_an_output_that_is_a_link_out_of_the_subject_is_refused_before_anything_is_deleted(
    source: Path, subject: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    for name in ("0.txt", "mine.txt"):
        (precious / name).write_text("mine")
    subject.mkdir()
    (subject / "words").symlink_to(precious)
    stage = Copy(source)
    with pytest.raises(UserError, match=r"words is a link to .*precious, outside .*subject"):
        run(stage, subject)
    assert stage.runs == 0
    assert {path.name: path.read_text() for path in precious.iterdir()} == {"0.txt": "mine", "mine.txt": "mine"}


@pytest.mark.parametrize("place", ["words/deeper", "stages", "pictures", "set_aside", "subject.json"])
def test_links_further_down_are_refused_too(source: Path, subject: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "precious").mkdir()
    (subject / place).parent.mkdir(parents=True)
    (subject / place).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="is a link to"):
        run(Copy(source), subject)
    assert not any((tmp_path / "precious").iterdir())


def test_the_subject_itself_may_be_a_link_and_so_may_folders_within_it(source: Path, tmp_path: Path) -> None:
    (tmp_path / "disk/kept").mkdir(parents=True)
    (tmp_path / "disk/words").symlink_to("kept")
    (tmp_path / "subject").symlink_to(tmp_path / "disk")
    run(Copy(source), tmp_path / "subject")
    assert len(list((tmp_path / "disk/kept").iterdir())) == 3


def test_files_that_no_stamp_lists_are_moved_and_not_deleted(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    (subject / "words/notes.txt").write_text("mine")
    assert "1 files that it had not written are in set_aside/" in run(Copy(source), subject)
    assert (subject / "set_aside/words/notes.txt").read_text() == "mine"
    assert len(words(subject)) == 3
    (subject / "words/notes.txt").write_text("mine, too")
    run(Copy(source), subject)
    assert (subject / "set_aside/words/notes-1.txt").read_text() == "mine, too"


@pytest.mark.parametrize(
    "text",
    [
        "[]", "null", '{"settings": {}, "inputs": {}}', '{"settings": 1, "inputs": [], "outputs": 1}',
        '{"settings": {}, "inputs": {"a": 1}, "outputs": {}}', '{"settings": {}, "inputs": {}, "outputs": {"a": [1]}}',
        '{"settings": {}, "inputs": {"a": [1, 2, 3]}, "outputs": {}}', "[" * 100000,
    ],
)  # fmt: skip
def test_a_stamp_that_is_something_else_does_not_hold(source: Path, subject: Path, text: str) -> None:
    stage = Copy(source)
    run(stage, subject)
    stamp_path(stage, subject).write_text(text)
    run(stage, subject)
    assert stage.runs == 2 and len(words(subject)) == 3 and not (subject / "set_aside").exists()


class Describe(Copy):
    """Writes an entry of subject.json besides."""

    def run(self, subject: Path, progress: Progress) -> str:
        SubjectWriter(subject).update_meta(about="three words")
        return super().run(subject, progress)


@pytest.mark.parametrize("text", ["", '{"about": "thr', "[1]", None])
def test_a_damaged_description_is_restored(source: Path, subject: Path, text: str | None) -> None:
    run(Describe(source), subject)
    whole = (subject / "subject.json").read_text()
    (subject / "subject.json").unlink() if text is None else (subject / "subject.json").write_text(text)
    stage = Describe(source)
    said = run(stage, subject)
    assert "subject.json  was damaged, restored from" in said and stage.runs == 0
    assert (subject / "subject.json").read_text() == whole
    (subject / "subject.json").write_text("")
    (subject / "stages/subject.copy").write_text("")
    with pytest.raises(UserError, match=r"subject\.json is damaged: delete it"):
        run(Describe(source), subject)


def test_what_a_killed_run_left_half_written_is_deleted(source: Path, subject: Path) -> None:
    run(Copy(source), subject)
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = leftovers.temporary_prefix(Path("0.txt"))
    for name in (f"{mine}x.txt", f"{mine}y.txt".replace(f"-{os.getpid()}-", f"-{dead.pid}-"), ".hidden"):
        (subject / "words" / name).write_text("half")
    run(Copy(source), subject)
    assert {path.name for path in (subject / "words").glob(".*")} == {f"{mine}x.txt", ".hidden"}  # this process lives
