"""Runs the user's own EasyMocap on the subject's pictures.

Each of its two steps has its own data folder in the subject's `easymocap/`, in EasyMocap's layout, and its own stamp,
like a stage. A finished step is therefore not repeated if a later one fails. EasyMocap itself keeps the results of its
networks for each picture, so that an interrupted step continues, unless the pictures or the command have changed.
"""

import abc
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

from rich.progress import Progress

from hashhuman.errors import UserError
from hashhuman.io.files import atomic_path, load_json, read_image, save_json, write_image
from preprocess.easymocap.output import Output
from preprocess.external import import_failure, progress_callback, run_tool
from preprocess.frames.images import image_paths
from preprocess.stage import FileStamp, Stage, is_finished, run_stage

CAMERA = "00"
EXTRACT = "apps/preprocess/extract_keypoints.py"
SOURCE = "https://github.com/zju3dv/EasyMocap"
WITHOUT = "or do without EasyMocap: preprocess/keypoints=blazepose preprocess/body_fit=native"


class EasyMocap:
    """The user's own EasyMocap, as a source of keypoints and bodies (a `Source`).

    Args:
        root: its folder, with weights and body models where it expects them.
        python: the interpreter of its environment, a path or a name on the PATH.
        emc: the command that it installs, a path or a name; a name is searched next to the interpreter first.
        gpu: the only GPU that it may use; None leaves the choice to the environment.
        mode: its method for keypoints (`--mode` of extract_keypoints.py).
        data, exp: its configuration files for `emc`, relative to its folder or absolute.
        options: further arguments of `emc`.
        force: run it again even if it has finished.
    """

    def __init__(
        self,
        root: str | None,
        python: str = "python",
        emc: str = "emc",
        gpu: int | None = 0,
        mode: str = "yolo-hrnet",
        data: str = "config/datasets/svimage.yml",
        exp: str = "config/1v1p/hrnet_pare_finetune.yml",
        options: tuple[str, ...] | list[str] = (),
        force: bool = False,
    ) -> None:
        self.root = Path(root).expanduser().absolute() if root else None
        self.python, self.emc = _program(python), _program(emc)
        self.gpu, self.mode, self.data, self.exp = gpu, mode, data, exp
        self.options, self.force = list(options), force

    def missing(self) -> str | None:
        if self.root is None:
            return (
                f"EasyMocap is not part of this program: clone {SOURCE} and name its folder with "
                "preprocess.easymocap.root=, read a folder that it has written with preprocess/easymocap=import, "
                f"{WITHOUT}."
            )
        absent = [path for path in (EXTRACT, self.data, self.exp) if not (self.root / path).exists()]
        if absent:
            return f"{self.root} has no {absent[0]}: preprocess.easymocap.root= must name a clone of {SOURCE}."
        search = self.environment()["PATH"]
        programs = (("python", self.python), ("emc", self.emc))
        lacking = [(name, program) for name, program in programs if shutil.which(program, path=search) is None]
        if lacking:
            name, program = lacking[0]
            return (
                f"There is no program {program}: install EasyMocap in its environment "
                f"(`pip install --no-deps {self.root}`), name its {name} with preprocess.easymocap.{name}=, {WITHOUT}."
            )
        for started in ([self.python, EXTRACT], [self.emc]):
            if (failure := import_failure([*started, "--help"], self.root, self.environment())) is not None:
                return (
                    f"EasyMocap's {started[-1]} does not start ({failure}): install what it lacks in its environment, "
                    f"name that with preprocess.easymocap.python=, {WITHOUT}."
                )
        return None

    def environment(self) -> dict[str, str]:
        """Environment variables that EasyMocap runs with, in addition to this process's."""
        interpreter_folder = [str(Path(self.python).parent)] if os.sep in self.python else []
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        variables = {"PATH": os.pathsep.join([*interpreter_folder, os.environ.get("PATH", os.defpath)])}
        variables["PYTHONPATH"] = os.pathsep.join(paths)
        # Its own option --gpu starts another Python through a shell, which breaks paths with spaces and hides failures.
        return variables | ({} if self.gpu is None else {"CUDA_VISIBLE_DEVICES": str(self.gpu)})

    def inputs(self, subject: Path) -> list[Path]:
        return [subject / "images" / CAMERA]

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("mode", "data", "exp", "options")}

    def keypoints(self, subject: Path, progress: Progress) -> Output:
        return self._finished(KeypointRun(self), subject, progress)

    def bodies(self, subject: Path, progress: Progress) -> Output:
        return self._finished(BodyRun(self), subject, progress)

    def _finished(self, step: "Run", subject: Path, progress: Progress) -> Output:
        if self.force or not is_finished(step, subject):
            if (sentence := self.missing()) is not None:
                raise UserError(sentence)
            run_stage(step, subject, progress)
        return Output(step.root(subject), camera=CAMERA)


class Run(Stage):
    """One step of EasyMocap, as a stage of its own."""

    title: ClassVar[str]  # names its folder, log and progress bar

    def __init__(self, tool: EasyMocap) -> None:
        self.tool = tool

    def root(self, subject: Path) -> Path:
        """The step's data folder; absolute, since EasyMocap runs in its own folder."""
        return (subject / "easymocap" / self.title).absolute()

    @abc.abstractmethod
    def command(self, root: Path, count: int) -> list[str | Path]:
        """The command for a data folder with `count` pictures."""

    @abc.abstractmethod
    def results(self, root: Path) -> Path:
        """The folder in which EasyMocap writes one file for each frame."""

    def inputs(self, subject: Path) -> list[Path]:
        return self.tool.inputs(subject)

    def outputs(self, subject: Path) -> list[Path]:
        return [self.results(self.root(subject))]

    def settings(self) -> dict[str, Any]:
        return self.tool.settings()

    def run(self, subject: Path, progress: Progress) -> str:
        pictures, root = image_paths(subject), self.root(subject)
        command, results = self.command(root, len(pictures)), self.results(root)
        prepare_data_folder(root, pictures, [str(part) for part in command])
        shutil.rmtree(results, ignore_errors=True)  # EasyMocap skips a step that has as many result files as pictures
        log = root.with_suffix(".log")
        assert self.tool.root is not None
        on_line = progress_callback(progress, f"EasyMocap {self.title}")
        run_tool(command, self.tool.root, log, on_line, self.tool.environment())
        absent = [frame for frame in pictures if not (results / f"{frame:06d}.json").exists()]
        if absent:
            first = results / f"{absent[0]:06d}.json"
            raise UserError(f"EasyMocap ended without {first} and {len(absent) - 1} more files: see {log}.")
        return f"{len(pictures)} files"


class KeypointRun(Run):
    """Detects people and their keypoints."""

    name: ClassVar[str] = "easymocap_keypoints"
    title: ClassVar[str] = "keypoints"

    def command(self, root: Path, count: int) -> list[str | Path]:
        return [self.tool.python, EXTRACT, root, "--mode", self.tool.mode, "--subs", CAMERA]

    def results(self, root: Path) -> Path:
        return root / "annots" / CAMERA


class BodyRun(Run):
    """Fits SMPL to the keypoints."""

    name: ClassVar[str] = "easymocap_body_fit"
    title: ClassVar[str] = "body_fit"

    def command(self, root: Path, count: int) -> list[str | Path]:
        tool = self.tool
        arguments = ["--data", tool.data, "--exp", tool.exp, "--root", root, "--ranges", "0", str(count), "1"]
        return [tool.emc, *arguments, "--subs", CAMERA, "--out", root / "output", *tool.options]

    def results(self, root: Path) -> Path:
        return root / "output" / "smpl"


def prepare_data_folder(root: Path, pictures: dict[int, Path], command: list[str]) -> None:
    """Fills EasyMocap's data folder with the pictures as .jpg, the only format that it reads.

    A folder that was made for the same pictures and the same command is kept, with EasyMocap's results so far.
    """
    made_for = {"command": command, "pictures": {path.name: FileStamp.of(path).sha256 for path in pictures.values()}}
    marker = root / "made_for.json"
    if marker.exists() and load_json(marker) == made_for:
        return
    shutil.rmtree(root, ignore_errors=True)
    for frame, path in pictures.items():
        target = root / "images" / CAMERA / f"{frame:06d}.jpg"
        if path.suffix == target.suffix:
            with atomic_path(target) as sibling:
                shutil.copyfile(path, sibling)
        else:
            write_image(target, read_image(path))
    save_json(marker, made_for)


def _program(program: str) -> str:
    """A path made absolute, since EasyMocap runs in its own folder; a mere name stays and is searched on the PATH."""
    return str(Path(program).expanduser().absolute()) if os.sep in program else program
