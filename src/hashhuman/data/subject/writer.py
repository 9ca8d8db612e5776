"""Writes a subject folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.data import lip
from hashhuman.data.subject.layout import FINDING, MILLIMETRES, VERSION, check_pose
from hashhuman.geometry.camera import Camera
from hashhuman.io import files


class SubjectWriter:
    """Writes a subject folder; each file whole or not at all.

    Cameras and frames are numbers, as in the file names. Every method that writes raises UserError if it cannot.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def image_path(self, camera: int, frame: int, suffix: str = ".png") -> Path:
        """The path of a picture."""
        return self.root / "images" / f"{camera:02d}" / f"{frame:06d}{suffix}"

    def mask_path(self, camera: int, frame: int) -> Path:
        """The path of a picture's mask."""
        return self.root / "mask" / f"{camera:02d}" / f"{frame:06d}.png"

    def parts_path(self, camera: int, frame: int) -> Path:
        """The path of a picture's part labels."""
        return self.root / "schp" / f"{camera:02d}" / f"{frame:06d}.png"

    def blend_weights_path(self, frame: int) -> Path:
        """The path of the volume of skinning weights around a frame's posed body."""
        return self.root / "smpl_lbs" / "bweights" / f"{frame}.npy"

    def write_findings(self, findings: Sequence[tuple[str, str, str, str]]) -> None:
        """Writes findings.json: of each finding its verdict (ok, warn, bad), name, value and advice."""
        files.save_json(self.root / "findings.json", [dict(zip(FINDING, row)) for row in findings])

    def write_annots(
        self, cameras: Sequence[Camera], distortions: Sequence[np.ndarray], images: Sequence[Sequence[Path]]
    ) -> None:
        """Writes annots.npy.

        Args:
            cameras: in OpenCV's convention, T in metres.
            distortions: OpenCV's k1, k2, p1, p2, k3 of each camera.
            images: for each frame, the paths of its pictures, one a camera.
        """
        cams = {
            "K": [np.asarray(camera.K, np.float64) for camera in cameras],
            "D": [np.asarray(D, np.float64).reshape(5, 1) for D in distortions],
            "R": [np.asarray(camera.R, np.float64) for camera in cameras],
            "T": [np.asarray(camera.T, np.float64).reshape(3, 1) * MILLIMETRES for camera in cameras],
        }
        ims = [{"ims": [path.relative_to(self.root).as_posix() for path in row]} for row in images]
        files.save_npy(self.root / "annots.npy", {"cams": cams, "ims": ims})

    def write_image(self, camera: int, frame: int, image: UInt8[np.ndarray, "H W 3"], suffix: str = ".png") -> Path:
        """Writes a picture (RGB) and returns its path. The suffix chooses the format."""
        path = self.image_path(camera, frame, suffix)
        files.write_image_fast(path, image)
        return path

    def write_mask(self, camera: int, frame: int, mask: Float[np.ndarray, "H W"]) -> None:
        """Writes a mask: the person's coverage in [0, 1], as 8 bits."""
        files.write_image_fast(self.mask_path(camera, frame), np.rint(mask.clip(0, 1) * 255).astype(np.uint8))

    def write_plate(self, camera: int, color: UInt8[np.ndarray, "H W 3"], known: Bool[np.ndarray, "H W"]) -> None:
        """Writes what a static camera sees without the person (RGB), and where that is known."""
        folder = self.root / "plate" / f"{camera:02d}"
        files.write_image(folder / "color.png", color)
        files.write_image(folder / "known.png", np.where(known, 255, 0).astype(np.uint8))

    def write_parts(self, camera: int, frame: int, labels: UInt8[np.ndarray, "H W"]) -> None:
        """Writes part labels: LIP classes, in the palette's colours."""
        files.write_image_fast(self.parts_path(camera, frame), lip.encode(labels))

    def write_pose(self, frame: int, pose: BodyPose, betas: Float[np.ndarray, "S"] | None = None) -> None:
        """Writes smpl_params/F.npy. Raises UserError for a pose that no person can have (`layout.check_pose`).

        `betas` are the body model's shape parameters; None writes ten zeros, which stand for SMPL's mean shape.
        """
        params = {
            "poses": pose.body_pose.numpy(force=True).reshape(1, -1),
            "Rh": pose.orient.numpy(force=True).reshape(1, 3),
            "Th": pose.transl.numpy(force=True).reshape(1, 3),
            "shapes": np.zeros((1, 10), np.float32) if betas is None else np.asarray(betas, np.float32).reshape(1, -1),
        }
        path = self.root / f"smpl_params/{frame}.npy"
        check_pose(pose, path)
        files.save_npy(path, params)

    def write_vertices(self, frame: int, vertices: Float[np.ndarray, "V 3"]) -> None:
        """Writes smpl_vertices/F.npy: vertices in the world (m)."""
        files.save_npy(self.root / f"smpl_vertices/{frame}.npy", np.asarray(vertices, np.float32))

    def write_template(self, template: BodyTemplate) -> None:
        """Writes the body at rest and its canonical vertices to smpl_lbs/, and the joints' names to subject.json."""
        arrays = {
            "joints": template.joints.numpy(force=True),
            "parents": np.array(template.parents, np.int64),
            "faces": template.faces.numpy(force=True).astype(np.int64),
            "weights": template.lbs_weights.numpy(force=True),
            "tvertices": template.vertices.numpy(force=True),
            "bigpose_vertices": template.pose_vertices(template.big_pose()).numpy(force=True),
        }
        if template.uv is not None:
            arrays["uv"] = template.uv.numpy(force=True)
        for name, array in arrays.items():
            files.save_npy(self.root / f"smpl_lbs/{name}.npy", array)
        self.update_meta(joint_names=list(template.joint_names))

    def write_blend_weight_volume(self, volume: Float[np.ndarray, "X Y Z J1"], frame: int | None = None) -> None:
        """Writes the volume of skinning weights around the canonical body, or around a frame's posed body.

        Its last channel is the distance to the body (m); see `hashhuman.body.volumes`.
        """
        path = self.root / "smpl_lbs" / "bigpose_bw.npy" if frame is None else self.blend_weights_path(frame)
        files.save_npy(path, volume.astype(np.float32))

    def write_uv_volume(self, volume: Float[np.ndarray, "X Y Z 2"]) -> None:
        """Writes bigpose_uv.npy: the volume of texture coordinates around the canonical body."""
        files.save_npy(self.root / "bigpose_uv.npy", volume.astype(np.float32))

    def update_meta(self, **entries: Any) -> None:
        """Adds entries to subject.json, or replaces them."""
        path = self.root / "subject.json"
        meta: Mapping[str, Any] = files.load_json(path) if path.exists() else {}
        files.save_json(path, {**meta, "version": VERSION, **entries})
