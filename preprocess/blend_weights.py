"""The blend_weights stage: extends skinning weights and texture coordinates from the body's surface into space.

Each node of a volume gets the values of the nearest surface point. `hashhuman.body.volumes` defines the grid,
`hashhuman.data.subject` the files.
"""

import functools
from pathlib import Path
from typing import Any

import igl
import numpy as np
from jaxtyping import Float, Int
from rich.progress import Progress

from hashhuman.body import volumes
from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io import files
from hashhuman.io.journal import Arrays
from hashhuman.io.masks import read_mask
from preprocess.stage import Stage, unfinished


def closest_on_surface(
    points: Float[np.ndarray, "N 3"], vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]
) -> tuple[Int[np.ndarray, "N 3"], Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
    """The nearest point of a mesh to each of N points (m).

    Returns:
        The vertices of the nearest face, barycentric coordinates of the nearest point in it, and the distance (m).
    """
    vertices, faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
    found = igl.point_mesh_squared_distance(np.ascontiguousarray(points, np.float64), vertices, faces)
    squared, face, foot = map(np.asarray, found)
    corners = faces[face]
    a, b, c = (np.ascontiguousarray(vertices[corners[:, k]]) for k in range(3))
    weights = np.array(igl.barycentric_coordinates(foot, a, b, c))
    degenerate = ~np.isfinite(weights).all(1)  # a face without area has no barycentric coordinates
    weights[degenerate] = [1, 0, 0]
    weights = weights.clip(0, 1)
    return corners, weights / weights.sum(1, keepdims=True), np.sqrt(squared)


BINARY = "mask_cihp"
"""The folder of masks that instant-nvr's reader prefers to `mask/`."""


def write_binary_masks(reader: Subject) -> None:
    """Writes `mask_cihp/images/CC/FFFFFF.png`: 255 where at least half of a pixel is the person, else 0."""
    for picture in reader.pictures:
        if picture.mask is not None:
            name = picture.image.relative_to(reader.root).with_suffix(".png")
            person = read_mask(picture.mask, reader.camera(picture.camera).height, reader.camera(picture.camera).width)
            files.write_image_fast(reader.root / BINARY / name, np.where(person >= 0.5, np.uint8(255), np.uint8(0)))


class BlendWeightVolumes(Stage):
    """Writes volumes around the canonical body (skinning weights, texture coordinates) and the rest body (weights).

    Args:
        per_frame: also write what instant-nvr reads and we do not: volumes around every posed body,
            `smpl_lbs/bweights/F.npy` (about 10 MB each), and `mask_cihp/`, masks of 0 and 255 cut at one half. Its
            reader prefers these, and takes every pixel of `mask/` that is not 0 for the person.
        force: run even if nothing has changed.
    """

    name = "blend_weights"

    def __init__(self, per_frame: bool = False, force: bool = False) -> None:
        self.per_frame = per_frame
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        lbs = subject / "smpl_lbs"
        body = [lbs / f"{name}.npy" for name in ("joints", "parents", "faces", "weights", "tvertices", "uv")]
        posed = [subject / name for name in ("smpl_params", "smpl_vertices", "mask")] if self.per_frame else []
        return [*body, lbs / "bigpose_vertices.npy", *posed]

    def outputs(self, subject: Path) -> list[Path]:
        lbs = subject / "smpl_lbs"
        return [lbs / "bigpose_bw.npy", lbs / "tbw.npy", subject / "bigpose_uv.npy", lbs / "bweights", subject / BINARY]

    def settings(self) -> dict[str, Any]:
        return {"per_frame": self.per_frame, "step": volumes.STEP, "pad": volumes.PAD}

    def run(self, subject: Path, progress: Progress) -> str:
        reader, writer = Subject(subject), SubjectWriter(subject)
        template = reader.template()
        faces, weights = template.faces.numpy(), template.lbs_weights.numpy()
        assert template.uv is not None  # Subject derives it if it is missing
        frames = reader.posed_frames if self.per_frame else []
        task = progress.add_task("blend weights", total=2 + len(frames))

        canonical = reader.big_pose_vertices()
        attributes = np.concatenate([weights, template.uv.numpy()], 1)
        volume, distance = volumes.surface_volume(canonical, faces, attributes, closest=closest_on_surface)
        bw, uv = np.split(volume, [weights.shape[1]], -1)
        writer.write_blend_weight_volume(np.concatenate([bw, distance[..., None]], -1))
        writer.write_uv_volume(uv)
        progress.advance(task)

        rest = template.vertices.numpy()
        tbw = volumes.blend_weight_volume(rest, faces, weights, closest=closest_on_surface)[0]
        files.save_npy(subject / "smpl_lbs" / "tbw.npy", tbw)
        progress.advance(task)

        def write(frame: int) -> Arrays:
            posed = reader.posed_vertices(frame)
            volume = volumes.blend_weight_volume(posed, faces, weights, closest=closest_on_surface)[0]
            writer.write_blend_weight_volume(volume, frame)
            return {}

        with unfinished(self, subject).journal() as journal:
            for frame in frames:
                journal.once(str(frame), functools.partial(write, frame), [writer.blend_weights_path(frame)])
                progress.advance(task)
        if self.per_frame:
            write_binary_masks(reader)
        size = " x ".join(map(str, bw.shape[:3]))
        return f"{size} nodes, {bw.shape[-1]} joints" + (f", {len(frames)} posed volumes" if frames else "")
