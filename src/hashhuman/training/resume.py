"""Decides whether a command begins a run or goes on with one: the option `resume` of train.py.

| `resume=` | what happens |
|---|---|
| null | a run of the same config in `run_dir` is continued; one of another config is refused |
| true | as null; without a run in `run_dir`, the newest unfinished run of the same config beside it is continued |
| false | a run in `run_dir` is replaced |
| FOLDER | the run in this folder is continued, with its own config |
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hashhuman.checks import targets
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io import files
from hashhuman.training import run_folder
from hashhuman.training.manifest import Manifest, code_digest

BESIDE = ("resume=", "admit=")  # what may be typed where a run is continued with its own config


def chosen(config: DictConfig) -> DictConfig:
    """The config of the run that `config.resume` chooses; its `run_dir` may be another.

    Raises:
        UserError: if `resume` is no folder of a run, or other options are typed beside `resume=FOLDER`.
    """
    if isinstance(config.resume, str):
        typed = [text for text in run_folder.typed_overrides() or [] if not text.lstrip("+").startswith(BESIDE)]
        if typed:
            raise UserError(f"resume={config.resume} goes on with the run as it was configured: leave out {typed[0]}.")
        return _moved(Path(config.resume), targets.admitted(config.admit))
    empty = not (Path(config.run_dir) / run_folder.CONFIG).exists()
    if config.resume is True and empty and (folder := _newest_unfinished(config)) is not None:
        config = config.copy()
        config.run_dir = str(folder)
    return config


def _moved(folder: Path, admitted: targets.Register) -> DictConfig:
    """The saved config of a run, whose folder may have moved since."""
    content = run_folder.saved_content(folder, admitted)
    before, now = str(content["run_dir"]), str(folder.absolute())

    def replaced(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: replaced(value) for key, value in node.items()}
        if isinstance(node, list):
            return [replaced(value) for value in node]
        inside = isinstance(node, str) and (node == before or node.startswith(f"{before}/"))
        return now + node[len(before) :] if inside else node

    config = OmegaConf.create(replaced(content))
    assert isinstance(config, DictConfig)
    config.resume = None  # a run that began with resume=false is continued like any other
    return config


def _newest_unfinished(config: DictConfig) -> Path | None:
    """The newest folder beside `run_dir` with an unfinished run of the same config."""
    own = run_folder.digest(run_folder.content_of(config))
    found = []
    for path in Path(config.run_dir).absolute().parent.glob(f"*/{run_folder.MANIFEST}"):
        try:
            manifest = Manifest.load(path.parent)
        except UserError:  # a damaged run cannot be continued
            continue
        if manifest is not None and manifest.config == own and not manifest.evaluated:
            found.append(path)
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def begin(folder: Path, config: DictConfig) -> Manifest:
    """Begins a run in a folder, or returns the manifest of the run that is continued there.

    The caller holds the folder's lock.

    Raises:
        UserError: if the folder holds another run and `config.resume` is not false.
    """
    content = run_folder.content_of(config)
    digest, occupied = run_folder.digest(content), (folder / run_folder.CONFIG).exists()
    if config.resume is not False and (old := Manifest.load(folder)) is not None:
        if old.config != digest:
            raise UserError(_other_config(folder, content))
        if old.code != code_digest() and not old.evaluated:
            print(f"The code has changed since {folder} began: its result may differ from that of one revision.")
        if not old.holds(folder, run_folder.CONFIG):  # it was stopped before it was written
            _write(folder, config, old)
        return old
    if config.resume is not False and occupied:
        raise UserError(f"{folder} holds a run of an earlier revision: choose another run_dir=, or add resume=false.")
    manifest = Manifest.new(digest)
    manifest.save(folder)  # from now on, no file of an earlier run counts
    if occupied or config.resume is False:
        run_folder.remove_outputs(folder)
    _write(folder, config, manifest)
    return manifest


def check_subject(folder: Path, manifest: Manifest, subject: Subject) -> None:
    """Notes what a run reads of its subject when the run begins, and compares it when the run is continued.

    Raises UserError if pictures, masks or bodies are others than when the run began.
    """
    found = subject.digest()
    if manifest.subject is None:
        manifest.subject = found
        manifest.save(folder)
    elif manifest.subject != found:
        raise UserError(
            f"{subject.root} has changed since {folder} was begun with it (pictures, masks or bodies): choose another "
            "run_dir=, or replace it by resume=false."
        )


def tell_of_changed_subject(folder: Path, subject: Subject) -> None:
    """Prints a sentence if a finished run is used with other pictures, masks or bodies than it learned from."""
    known = Manifest.existing(folder).subject
    if known is not None and known != subject.digest():
        print(
            f"{subject.root} is not as it was when {folder} learned from it (pictures, masks or bodies): what follows "
            "is made with what lies there now.",
            flush=True,
        )


def _write(folder: Path, config: DictConfig, manifest: Manifest) -> None:
    run_folder.save_config(folder, config)
    manifest.add(folder, [folder / run_folder.CONFIG])
    manifest.save(folder)


def _other_config(folder: Path, content: dict[str, Any]) -> str:
    """The sentence for a folder with a run of another config; it names an option that differs."""
    mine, where = run_folder.values(content), "its config"
    try:
        saved = files.load_json(folder / run_folder.CONFIG)
        theirs = run_folder.values(saved)
    except (UserError, KeyError, AttributeError):
        theirs = mine
    for key in sorted(mine.keys() | theirs.keys()):
        if mine.get(key) != theirs.get(key):
            where = f"{key}={theirs.get(key)} there, {mine.get(key)} here"
            break
    return f"{folder} holds a run of another config ({where}): choose another run_dir=, or replace it by resume=false."
