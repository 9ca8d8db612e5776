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


class BlendWeightVolumes(Stage):
    """Writes volumes around the canonical body (skinning weights, texture coordinates) and the rest body (weights).

    Args:
        per_frame: also write volumes around every posed body, `smpl_lbs/bweights/F.npy` (about 10 MB each), which
            instant-nvr reads.
        force: run even if nothing has changed.
    """

    name = "blend_weights"

    def __init__(self, per_frame: bool = False, force: bool = False) -> None:
        self.per_frame = per_frame
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        lbs = subject / "smpl_lbs"
        body = [lbs / f"{name}.npy" for name in ("joints", "parents", "faces", "weights", "tvertices", "uv")]
        posed = [subject / "smpl_params", subject / "smpl_vertices"] if self.per_frame else []
        return [*body, lbs / "bigpose_vertices.npy", *posed]

    def outputs(self, subject: Path) -> list[Path]:
        lbs = subject / "smpl_lbs"
        return [lbs / "bigpose_bw.npy", lbs / "tbw.npy", subject / "bigpose_uv.npy", lbs / "bweights"]

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
        size = " x ".join(map(str, bw.shape[:3]))
        return f"{size} nodes, {bw.shape[-1]} joints" + (f", {len(frames)} posed volumes" if frames else "")
