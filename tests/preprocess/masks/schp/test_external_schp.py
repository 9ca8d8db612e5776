import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress

from hashhuman.data import lip
from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import read_image, write_image
from preprocess.masks.schp.external import ExternalSchpMasks
from preprocess.stage import is_finished, run_stages
from tests import toy

CHECKPOINTS = (
    "detectron2_maskrcnn_cihp_finetune.pth",
    "exp_schp_multi_cihp_global.pth",
    "exp_schp_multi_cihp_local.pth",
)
# Takes the arguments that upstream's takes and, like it, leaves the work to programs that it finds by name, in shell
# commands with bare paths. Its "parsing" are the labels in ./answers.
STAND_IN = """
    import argparse, os, sys
    from os.path import join

    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="+")
    parser.add_argument("--subs", nargs="+", default=[])
    parser.add_argument("--gpus", nargs="+", default=[])
    parser.add_argument("--ckpt_dir", default="/nowhere")
    parser.add_argument("--tmp", default="data")
    args = parser.parse_args()
    here = os.path.abspath(os.path.dirname(__file__))
    exec(open(join(here, "mood.txt")).read())
    assert args.gpus == ["1"] and os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert len(os.listdir(args.ckpt_dir)) == 3
    for i, sub in enumerate(args.subs):
        print(f" 50%|#####     | {i + 1}/{len(args.subs)} [00:01<00:01]", file=sys.stderr)
        image_folder = join(args.path[0], "images", sub)
        sequence = image_folder.split(os.sep)[-3]
        scratch = join(args.tmp, "tmp_" + "_".join(image_folder.split(os.sep)[-3:]))
        result = join(args.tmp, sequence, "mask-schp-parsing", sub)
        os.makedirs(os.path.dirname(result), exist_ok=True)
        os.chdir(here)
        os.system(f"python3 --version && ls {image_folder} {args.ckpt_dir}")
        os.system(f"mkdir {scratch} && cp answers/{sub}/* {scratch} && cp -r {scratch} {result}")
"""


@pytest.fixture
def detectron2(tmp_path, monkeypatch):
    """A stand-in for the package in the clone's environment; its files."""
    package = tmp_path / "site/detectron2"
    package.mkdir(parents=True)
    for name in ("__init__", "engine", "_C"):
        (package / f"{name}.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return package


@pytest.fixture
def clone(tmp_path, detectron2):
    """A clone with a difficult name, a stand-in for its script, and a toy subject whose labels it is to find."""
    root = toy.write_subject(tmp_path / "der Übungs ordner" / "toy", n_frames=3, n_cameras=2)
    clone = tmp_path / "my clone & 工具"
    shutil.move(root / "schp", clone / "answers")
    shutil.rmtree(root / "mask")
    for path in (clone / "answers").rglob("*.png"):
        everybody = read_image(path)
        everybody[:, :4] = lip.palette()[9]  # a bystander
        write_image(path, everybody)
    (clone / "extract_multi.py").write_text(textwrap.dedent(STAND_IN))
    (clone / "mood.txt").touch()
    models = tmp_path / "the models"
    models.mkdir()
    for name in CHECKPOINTS:
        (models / name).touch()
    return root, {"root": str(clone), "python": sys.executable, "models": str(models), "gpu": 1}


def run(subject, **options):
    with Progress(disable=True) as progress:
        return ExternalSchpMasks(**options).run(subject, progress)


def check(root: Path, answers: Path) -> None:
    """The subject holds what the clone found, without the bystander."""
    subject = Subject(root)
    for picture in subject.pictures:
        everybody = lip.decode(read_image(answers / f"{picture.camera:02d}" / f"{picture.frame:06d}.png"))
        assert (everybody[:, :4] == 9).all()
        everybody[:, :4] = 0
        np.testing.assert_array_equal(subject.parts(picture), everybody)
        np.testing.assert_array_equal(subject.mask(picture), everybody != 0)


def test_runs_the_clone_and_crops_bystanders_away(clone):
    root, options = clone
    assert "6 masks; the person fills" in run(root, **options)
    check(root, Path(options["root"]) / "answers")
    log = (root / "logs/schp.log").read_text()
    assert "2/2 [" in log and "000002.png" in log and "exp_schp_multi_cihp_local.pth" in log
    assert not list(root.glob(".schp-*"))
    assert len(list((root / "pictures/masks").rglob("*.jpg"))) == 6  # of two cameras


@pytest.mark.parametrize(
    ("mood", "message"),
    [
        ("sys.exit('CUDA out of memory')", r"failed with status 1; its last lines: CUDA out of memory.*schp\.log"),
        ("sys.exit(0)", r"ended without an error and without results: see .*schp\.log"),
        ("os.remove(join(here, 'answers/01/000001.png'))", r"holds 2 pictures for 3 frames"),
    ],
)
def test_a_failure_leaves_nothing_behind_but_the_log(clone, mood, message):
    root, options = clone
    (Path(options["root"]) / "mood.txt").write_text(mood)
    with pytest.raises(UserError, match=message):
        run(root, **options)
    assert (root / "logs/schp.log").exists()
    assert not list(root.glob(".schp-*")) and not (root / "mask").exists() and not (root / "schp").exists()


def test_takes_results_without_running(clone, tmp_path):
    root, options = clone
    results = tmp_path / "earlier" / "mask-schp-parsing"
    shutil.copytree(Path(options["root"]) / "answers", results)
    for given in (results, results.parent):
        stage = ExternalSchpMasks(results=str(given))
        run_stages([stage], root)
        check(root, results)
        assert is_finished(stage, root)
    (results / "00/000000.png").unlink()
    assert not is_finished(stage, root)
    with pytest.raises(UserError, match="holds 2 pictures for 3 frames"):
        run_stages([stage], root)


def test_says_what_is_missing_before_anything_runs(clone, tmp_path):
    root, options = clone
    (tmp_path / "the models" / CHECKPOINTS[1]).unlink()
    for given, message in (
        ({}, r"needs your clone of https.* preprocess\.masks\.root=.*schp or blazepose"),
        ({"root": str(tmp_path)}, r"holds no extract_multi\.py"),
        ({"root": options["root"], "python": "no-such-python"}, "There is no program no-such-python"),
        (options, r"the models lacks exp_schp_multi_cihp_global\.pth: download them from https://drive"),
        ({"results": str(tmp_path / "elsewhere")}, r"There is no folder .*elsewhere"),
    ):
        stage = ExternalSchpMasks(**given)
        with pytest.raises(UserError, match=message):
            run_stages([stage], root)
    assert not (root / "logs").exists()


@pytest.mark.parametrize(
    ("broken", "source", "cause"),
    [
        (
            "__init__",
            "raise ModuleNotFoundError(\"No module named 'detectron2'\")",
            "ModuleNotFoundError: No module named",
        ),
        ("engine", "import fvcore_of_another_name", "ModuleNotFoundError: No module named 'fvcore_of_another_name'"),
        ("_C", "raise ImportError('_C.so: undefined symbol: _ZN2at')", "ImportError: _C.so: undefined symbol: _ZN2at"),
    ],
)
def test_a_missing_or_unfit_detectron2_is_told_before_anything_runs(clone, detectron2, broken, source, cause):
    root, options = clone
    (detectron2 / f"{broken}.py").write_text(source)
    with pytest.raises(UserError) as raised:
        run_stages([ExternalSchpMasks(**options)], root)
    sentence = str(raised.value)
    assert f"extract_multi.py needs detectron2, and its Python cannot import it ({cause}" in sentence
    assert "pip install --no-build-isolation" in sentence and "preprocess/masks=schp " in sentence
    assert "\n" not in sentence and not (root / "logs").exists()


def test_a_package_that_the_script_lacks_is_told_before_it_runs(clone):
    root, options = clone
    script = Path(options["root"]) / "extract_multi.py"
    script.write_text("import tqdm_of_another_name\n" + script.read_text())
    with pytest.raises(UserError, match=r"extract_multi\.py does not start .*'tqdm_of_another_name'\): install what"):
        run_stages([ExternalSchpMasks(**options)], root)
    assert not (root / "logs").exists()
