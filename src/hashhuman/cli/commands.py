"""The console command `hashhuman`, for tools that do not train or evaluate; also `python -m hashhuman`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hashhuman.body.smpl import source
from hashhuman.body.smpl.arrays import SmplArrays
from hashhuman.cli import broken_pipe
from hashhuman.errors import UserError
from hashhuman.io import lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 2, after one sentence, for an error that the user can correct."""
    with broken_pipe.ends_quietly():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="hashhuman", description="Tools besides train.py, eval.py and preprocess.")
    commands = parser.add_subparsers(dest="command", required=True)
    smpl = commands.add_parser(
        "convert-smpl",
        help="convert your SMPL_*.pkl, SMPLH_* or SMPLX_*.npz to an .npz without pickles",
        description="Converts a model of SMPL's family, including smpl_uv.obj and J_regressor_body25.npy if they lie "
        "in the same folder, and describes it. body=smpl does this by itself.",
    )
    smpl.add_argument("path", type=Path, help="the model's file")
    smpl.add_argument("--out", type=Path, help="the .npz to write (default: in the model's folder)")
    smpl.set_defaults(command=lambda given: convert_smpl(given.path, given.out))
    poses = commands.add_parser(
        "write-poses",
        help="write the refined poses of a run as smpl_params/ and smpl_vertices/",
        description="Writes the poses of a run that was trained with pose=refined as a subject folder holds them.",
    )
    _add_run(
        poses,
        to="the folder that gets smpl_params/ and smpl_vertices/",
        replace="keep folders of these names as smpl_params_fitted/ ...",
    )
    poses.set_defaults(command=write_poses)
    masks = commands.add_parser(
        "write-masks",
        help="write the masks that a run has learned as mask_refined/",
        description="Writes the avatar's opacity in the training cameras' pictures. In the subject folder, "
        "data.masks=mask_refined trains with them.",
    )
    _add_run(
        masks,
        to="the folder that gets mask_refined/: the subject's own",
        replace="replace masks that were written before",
    )
    masks.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    masks.set_defaults(command=write_masks)
    given = parser.parse_args(arguments)
    try:
        print(given.command(given))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _add_run(command: argparse.ArgumentParser, to: str, replace: str) -> None:
    """Adds what a command needs that writes something of a run into a folder; `to` and `replace` describe options."""
    command.add_argument("run", type=Path, help="the run folder")
    command.add_argument("--to", type=Path, required=True, help=to)
    command.add_argument("--replace", action="store_true", help=replace)
    command.add_argument("--admit", action="append", default=[], help="a class of others that the run may name")


def write_poses(given: argparse.Namespace) -> str:
    """Writes refined poses and returns a description; see `training/refined_poses.py`."""
    from hashhuman.training.refined_poses import write_refined_poses  # takes seconds, which other commands do not need

    with lock.alone(given.to):
        return write_refined_poses(given.run, given.to, given.replace, given.admit)


def write_masks(given: argparse.Namespace) -> str:
    """Writes refined masks and returns a description; see `training/refined_masks.py`."""
    from hashhuman.training.refined_masks import write_refined_masks  # as above

    with lock.alone(given.to):
        return write_refined_masks(given.run, given.to, given.replace, given.device, given.admit)


def convert_smpl(path: Path, out: Path | None = None) -> str:
    """Converts a model and returns its description.

    Args:
        path: the model's file.
        out: the .npz to write; None: in the model's folder.

    Raises:
        UserError: if `out` has another suffix, and as `source.convert` does.
    """
    path = path.expanduser()
    target = source.converted_path(path) if out is None else out.expanduser()
    if target.suffix != ".npz":
        raise UserError(f"{target} must be an .npz file: correct --out.")
    body = source.convert(path, target)
    return "\n".join([*described(body, path), f"written   {target}"])


def described(body: SmplArrays, path: Path) -> list[str]:
    """The lines that describe a model."""
    size = np.ptp(body.v_template, axis=0)
    beside = [source_file.name for source_file in source.sources(path)[1:]]
    return [
        f"model     {path}",
        f"body      {len(body.v_template)} vertices, {len(body.faces)} faces, {len(body.joint_names)} joints",
        f"joints    {', '.join(body.joint_names)}",
        f"shape     {body.shapedirs.shape[-1]} parameters; mean body {size[1]:.2f} m tall, {size[0]:.2f} m wide",
        f"posing    {body.posedirs.shape[-1]} pose blend shapes",
        f"texture   {'none: seen from front and back' if body.uv is None else 'coordinates of every vertex'}",
        f"points    {'found by geometry' if body.body25 is None else 'J_regressor_body25.npy'}",
        f"beside    {', '.join(beside) or 'nothing'}",
    ]
