"""Stage 4 with the user's clone of Self-Correction Human Parsing, or with results that it has written already.

Its `extract_multi.py` (https://chingswy.github.io/easymocap-public-doc/install/install_segment.html) finds people with
detectron2, parses each person and the whole picture, and fuses both results. It reads a folder with images/CC and
writes label images in LIP's palette, of all people, into mask-schp-parsing/CC.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.progress import Progress

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.assets import cache_root
from preprocess.external import import_failure, progress_callback, run_tool
from preprocess.frames.video_index import video_index
from preprocess.masks.draw import draw_stage
from preprocess.masks.folder import files_of_frames, read_parts
from preprocess.masks.outputs import mask_outputs
from preprocess.masks.schp.person import PersonWriter, describe
from preprocess.stage import Stage

_SCRIPT = "extract_multi.py"
_RESULTS = "mask-schp-parsing"
_CHECKPOINTS = (
    "detectron2_maskrcnn_cihp_finetune.pth",
    "exp_schp_multi_cihp_global.pth",
    "exp_schp_multi_cihp_local.pth",
)
_CLONE = "https://github.com/chingswy/Self-Correction-Human-Parsing"
_DETECTRON2 = ("detectron2.engine", "detectron2._C")  # _C is compiled, and fails with another PyTorch
_WITHOUT = "or choose preprocess/masks=schp or blazepose"
_SOURCE = "https://drive.google.com/drive/folders/1uOaQCpNtosIjEL2phQKEdiYd0Td18jNo"


class ExternalSchpMasks(Stage):
    """Writes `mask/` (255 where a pixel has a label) and `schp/` (part labels in LIP's palette).

    Args:
        root: the clone, which holds extract_multi.py; needed unless `results` is given.
        python: the interpreter of the environment in which it is installed.
        models: the folder with its three checkpoints; None: schp/ in the folder of weights.
        gpu: the GPU that it uses.
        results: mask-schp-parsing as extract_multi.py has written it, or the folder that holds it; nothing is run then.
        pictures: how many pictures to draw.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "masks"

    def __init__(
        self,
        root: str | None = None,
        python: str = "python3",
        models: str | None = None,
        gpu: int = 0,
        results: str | None = None,
        pictures: int = 12,
        force: bool = False,
    ) -> None:
        self.root = Path(root).expanduser().absolute() if root else None
        self.python, self.gpu = str(Path(python).expanduser()), gpu
        self.models = (Path(models).expanduser() if models else cache_root() / "schp").absolute()
        self.results = Path(results).expanduser() if results else None
        self.pictures = pictures
        self.force = force

    def missing(self) -> str | None:
        if self.results is not None:
            exists = self.results.is_dir()
            return None if exists else f"There is no folder {self.results}: correct preprocess.masks.results."
        if self.root is None:
            return (
                f"preprocess/masks=schp_external needs your clone of {_CLONE} in preprocess.masks.root=, or the folder "
                f"that it has written in preprocess.masks.results=, {_WITHOUT}."
            )
        if not (self.root / _SCRIPT).is_file():
            return f"{self.root} holds no {_SCRIPT}: preprocess.masks.root= must name a clone of {_CLONE}."
        if shutil.which(self.python) is None:
            return (
                f"There is no program {self.python}: name the Python of the environment with detectron2 and what "
                f"{_SCRIPT} needs with preprocess.masks.python=, {_WITHOUT}."
            )
        absent = [name for name in _CHECKPOINTS if not (self.models / name).is_file()]
        if absent:
            return f"{self.models} lacks {', '.join(absent)}: download them from {_SOURCE} and put them there."
        return self._import_failure()

    def _import_failure(self) -> str | None:
        """A sentence if the clone's environment lacks detectron2 or a package of the script; None if it does not.

        The script starts programs that import detectron2, and does not notice when they fail.
        """
        assert self.root is not None
        python, environment = self._python(), self._environment()
        for module in _DETECTRON2:
            if (failure := import_failure([python, "-c", f"import {module}"], self.root, environment)) is not None:
                return (
                    f"{_SCRIPT} needs detectron2, and its Python cannot import it ({failure}): `pip install "
                    "--no-build-isolation git+https://github.com/facebookresearch/detectron2` there, name another with "
                    f"preprocess.masks.python=, {_WITHOUT}."
                )
        if (failure := import_failure([python, _SCRIPT, "--help"], self.root, environment)) is not None:
            return (
                f"{_SCRIPT} does not start ({failure}): install what its Python lacks, name another with "
                f"preprocess.masks.python=, {_WITHOUT}."
            )
        return None

    def _python(self) -> Path:
        return Path(shutil.which(self.python) or self.python).absolute()

    def _environment(self) -> dict[str, str]:
        """Environment variables for the clone. It starts `python3` and `python` by name; PATH makes them the same."""
        path = os.pathsep.join([str(self._python().parent), os.environ.get("PATH", os.defpath)])
        return {"CUDA_VISIBLE_DEVICES": str(self.gpu), "PATH": path}

    def inputs(self, subject: Path) -> list[Path]:
        body = [subject / "smpl_lbs" / f"{name}.npy" for name in ("faces", "weights")]
        found = [subject / "images", subject / "annots.npy", *body, subject / "smpl_vertices"]
        return found if self.results is None else [self.results, *found]

    def outputs(self, subject: Path) -> list[Path]:
        return mask_outputs(subject, self.name)

    def settings(self) -> dict[str, Any]:
        return {name: str(getattr(self, name)) for name in ("root", "models", "results")} | {"pictures": self.pictures}

    def run(self, subject: Path, progress: Progress) -> str:
        if (sentence := self.missing()) is not None:
            raise UserError(sentence)
        reader = Subject(subject)
        if self.results is not None:
            shares = _write_person(reader, self.results, progress)
        else:
            log = subject / "logs" / "schp.log"
            with _working_folder(subject) as work:
                self._extract(work, reader.camera_names, log, progress)
                if not (work / "subject" / _RESULTS).is_dir():
                    raise UserError(f"{_SCRIPT} ended without an error and without results: see {log}.")
                shares = _write_person(reader, work / "subject", progress)
        draw_stage(Subject(subject), subject / "pictures" / self.name, self.pictures)
        return describe(shares)

    def _extract(self, work: Path, cameras: list[str], log: Path, progress: Progress) -> None:
        """Runs the clone on work/subject; it writes its results there too."""
        assert self.root is not None
        with tempfile.TemporaryDirectory(prefix="hashhuman-") as folder:
            # The script puts paths into shell commands without quotes; symbolic links avoid spaces in them.
            alias = Path(folder)
            (alias / "work").symlink_to(work, target_is_directory=True)
            (alias / "models").symlink_to(self.models, target_is_directory=True)
            options = ["--ckpt_dir", alias / "models", "--tmp", alias / "work", "--gpus", str(self.gpu)]
            command = [self._python(), self.root / _SCRIPT, alias / "work" / "subject", *options, "--subs", *cameras]
            run_tool(command, self.root, log, progress_callback(progress, "schp"), self._environment())


@contextlib.contextmanager
def _working_folder(subject: Path) -> Iterator[Path]:
    """A temporary folder for the clone's intermediate files, which are large, with the pictures in subject/images.

    It starts empty each time, since the clone reuses any file that it finds, even an incomplete one.
    """
    with tempfile.TemporaryDirectory(prefix=".schp-", dir=subject) as folder:
        work = Path(folder).absolute()
        (work / "subject").mkdir()
        (work / "subject" / "images").symlink_to((subject / "images").absolute(), target_is_directory=True)
        yield work


def _write_person(reader: Subject, results: Path, progress: Progress) -> list[float]:
    """Writes the person's mask and labels from the results; returns the fraction of each picture that they fill."""
    root = results / _RESULTS if (results / _RESULTS).is_dir() else results
    files = {}
    for camera, name in enumerate(reader.camera_names):
        frames = [picture.frame for picture in reader.pictures if picture.camera == camera]
        found = files_of_frames(root / name, frames, video_index(reader.root))
        files |= {(camera, frame): path for frame, path in found.items()}
    writer, shares = PersonWriter(reader), []
    for picture in progress.track(reader.pictures, description="masks"):
        camera = reader.camera(picture.camera)
        labels = np.zeros((camera.height, camera.width), np.uint8)
        if (path := files.get((picture.camera, picture.frame))) is not None:
            labels = read_parts(path, camera.height, camera.width)
        shares.append(writer.write(picture, labels, writer.body(picture)))
    return shares
