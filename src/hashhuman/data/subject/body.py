"""Reads the body of a subject folder, and derives what the folder lacks of it."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from hashhuman.body import volumes
from hashhuman.body.smpl import source
from hashhuman.body.template import SMPL_JOINTS, BodyPose, BodyTemplate
from hashhuman.data.subject.arrays import described, read_numbers, shape_text
from hashhuman.data.subject.layout import TALLEST, check_pose, names_in
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.io import files


class SubjectBody:
    """The body in a subject folder: its template, its pose and vertices in each frame, and the volumes around it.

    Args:
        root: the subject folder.
        smpl_meta: for folders whose `smpl_lbs/` is incomplete, a folder with `faces.npy`, `parents.npy` and
            `weights.npy`, or SMPL's own file, from which joints and rest vertices come too.
        joint_names: names of the joints; empty if subject.json does not state them.

    Every method raises UserError for a file that is malformed, or that is missing and cannot be derived.
    """

    def __init__(self, root: Path, smpl_meta: Path | None, joint_names: tuple[str, ...]) -> None:
        self.root, self.smpl_meta, self._stated_joint_names = root, smpl_meta, joint_names
        self._names = names_in(root)

    def path(self, name: str) -> Path:
        """The path of a file or folder of this layout, such as smpl_lbs/joints.npy, under the folder's own names."""
        first, *rest = name.split("/")
        return self.root.joinpath(self._names.get(first, first), *rest)

    @functools.cached_property
    def posed_frames(self) -> list[int]:
        """Frames with a pose in smpl_params/, ascending."""
        names = (path.stem for path in self.path("smpl_params").glob("*.npy"))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 10)

    @functools.cached_property
    def _template(self) -> BodyTemplate:
        joints = self._array("smpl_lbs/joints.npy", (None, 3), meta="joints.npy")
        weights = self._array("smpl_lbs/weights.npy", (None, len(joints)), meta="weights.npy")
        faces = self._array("smpl_lbs/faces.npy", (None, 3), meta="faces.npy").astype(np.int64)
        if not (len(joints) and len(weights) and len(faces)):
            raise UserError(f"{self.path('smpl_lbs')} holds a body without joints, vertices or faces: fit it again.")
        parents = self._array("smpl_lbs/parents.npy", (len(joints),), meta="parents.npy").astype(np.int64)
        if (parents[1:] >= np.arange(1, len(parents))).any() or (parents[1:] < 0).any():
            raise UserError(
                f"{self.path('smpl_lbs/parents.npy')} must list each joint's parent before the joint itself."
            )
        if faces.min() < 0 or faces.max() >= len(weights):
            raise UserError(
                f"The faces of {self.root} name vertices that the body does not have: it has {len(weights)}."
            )
        self._check_size(joints, "smpl_lbs/joints.npy")
        total = weights.sum(1, keepdims=True)
        if (weights < -1e-4).any() or (abs(total - 1) > 0.05).any():
            raise UserError(f"The skinning weights of {self.root} must be positive and add up to one at each vertex.")
        template = BodyTemplate(
            vertices=torch.zeros(len(weights), 3),
            faces=torch.from_numpy(faces),
            lbs_weights=torch.from_numpy(weights / total).float(),
            joints=torch.from_numpy(joints).float(),
            parents=(-1, *parents[1:].tolist()),  # SMPL's files write the root's parent as 2^32 - 1
            joint_names=self._joint_names(len(joints)),
        )
        template = dataclasses.replace(template, vertices=self._rest_vertices(template))
        self._check_size(template.vertices.numpy(), "smpl_lbs")
        return dataclasses.replace(template, uv=torch.from_numpy(self._uv(template)).float())

    def _check_size(self, points: np.ndarray, name: str) -> None:
        """Raises UserError if points of the body at rest (m) are farther apart than any person is tall."""
        if (size := float(np.ptp(points, axis=0).max())) > TALLEST:
            raise UserError(
                f"{self.path(name)} describes a body of {size:.3g} m, and none is above {TALLEST:g} m: is it in other "
                "units than metres?"
            )

    def template(self) -> BodyTemplate:
        """The shaped body at rest, float32.

        Vertices and texture coordinates are derived if the folder lacks them. The result is cached.
        """
        return self._template

    def _joint_names(self, count: int) -> tuple[str, ...]:
        names = self._stated_joint_names
        if names and len(names) != count:
            raise UserError(f"{self.root / 'subject.json'} names {len(names)} joints, smpl_lbs/joints.npy has {count}.")
        if names:
            return names
        return SMPL_JOINTS if count == len(SMPL_JOINTS) else tuple(f"joint_{i}" for i in range(count))

    def _rest_vertices(self, template: BodyTemplate) -> torch.Tensor:
        shape = (len(template.lbs_weights), 3)
        if self.path("smpl_lbs/tvertices.npy").exists():
            return torch.from_numpy(self._array("smpl_lbs/tvertices.npy", shape)).float()
        if self.path("smpl_lbs/bigpose_vertices.npy").exists():
            posed = torch.from_numpy(self._array("smpl_lbs/bigpose_vertices.npy", shape)).float()
            body_pose = template.big_pose()
        elif "tvertices.npy" in self._model:
            return torch.from_numpy(self._model["tvertices.npy"]).float()
        else:
            frame = next((f for f in self.posed_frames if self.path(f"smpl_vertices/{f}.npy").exists()), None)
            if frame is None:
                raise UserError(
                    f"{self.root} has no body: neither smpl_lbs/tvertices.npy nor smpl_lbs/bigpose_vertices.npy, nor a "
                    "frame with both smpl_params/ and smpl_vertices/; run the body fit."
                )
            pose = self._read_pose(frame, len(template.parents))
            world = torch.from_numpy(self._array(f"smpl_vertices/{frame}.npy", shape)).float()
            posed = skinning.transform(skinning.invert_affine(pose.world_from_posed()), world)
            body_pose = pose.body_pose
        blended = skinning.blend(template.lbs_weights, template.bone_transforms(body_pose))
        return skinning.transform(skinning.invert_affine(blended), posed)

    def _uv(self, template: BodyTemplate) -> np.ndarray:
        if self.path("smpl_lbs/uv.npy").exists():
            return self._array("smpl_lbs/uv.npy", (len(template.vertices), 2))
        big_pose = self._big_pose_vertices(template)
        if (self.root / "bigpose_uv.npy").exists():
            volume = self._volume("bigpose_uv.npy", 2, big_pose)
            return volumes.vertex_values(volume, volumes.volume_origin(big_pose), volumes.STEP, big_pose)
        return volumes.front_back_uv(template.vertices.numpy(), template.faces.numpy())

    def pose(self, frame: int) -> BodyPose:
        """The body's pose in a frame, float32."""
        return self._read_pose(frame, len(self.template().parents))

    def _read_pose(self, frame: int, joints: int) -> BodyPose:
        path = self.path(f"smpl_params/{frame}.npy")
        params = files.load_npy(path)
        if not isinstance(params, dict) or not {"poses", "Rh", "Th"} <= params.keys():
            raise UserError(f"{path} must hold a dictionary with poses, Rh and Th.")
        fields = {}
        for name, size in (("poses", 3 * joints), ("Rh", 3), ("Th", 3)):
            value = np.asarray(params[name])
            if name == "poses" and value.size == size - 3 and value.dtype.kind in "fiu":
                value = np.concatenate([np.zeros(3), value.ravel()])  # without the root, which Rh turns
            if value.size != size or value.dtype.kind not in "fiu" or not np.isfinite(value).all():
                raise UserError(f"{path}: {name} must hold {size} finite numbers, not {described(value)}.")
            fields[name] = torch.from_numpy(value.astype(np.float32).reshape(-1))
        pose = BodyPose(fields["poses"].reshape(-1, 3), fields["Rh"], fields["Th"])
        check_pose(pose, path)
        return pose

    def vertices(self, frame: int) -> Float[np.ndarray, "V 3"]:
        """The body's vertices in the world (m), float32; skinned from the template if smpl_vertices/ lacks them."""
        if self.path(f"smpl_vertices/{frame}.npy").exists():
            return self._array(f"smpl_vertices/{frame}.npy", (len(self.template().vertices), 3)).astype(np.float32)
        pose = self.pose(frame)
        posed = self.template().pose_vertices(pose.body_pose)
        return skinning.transform(pose.world_from_posed(), posed).numpy()

    def posed_vertices(self, frame: int) -> Float[np.ndarray, "V 3"]:
        """The same vertices in posed space (m), float32: before `orient` and `transl` are applied."""
        posed_from_world = skinning.invert_affine(self.pose(frame).world_from_posed())
        return skinning.transform(posed_from_world, torch.from_numpy(self.vertices(frame))).numpy()

    def big_pose_vertices(self) -> Float[np.ndarray, "V 3"]:
        """The body's vertices in canonical space (m), float32."""
        return self._big_pose_vertices(self.template())

    def _big_pose_vertices(self, template: BodyTemplate) -> np.ndarray:
        if self.path("smpl_lbs/bigpose_vertices.npy").exists():
            shape = (len(template.vertices), 3)
            return self._array("smpl_lbs/bigpose_vertices.npy", shape).astype(np.float32)
        return template.pose_vertices(template.big_pose()).numpy()

    def blend_weight_volume(
        self, frame: int | None = None
    ) -> tuple[Float[np.ndarray, "X Y Z J1"], Float[np.ndarray, "3"], float]:
        """The volume of skinning weights (`hashhuman.body.volumes`) around the canonical body, or a frame's posed body.

        Returns the volume, whose last channel is the distance to the body (m), its origin (m) and its step (m). Without
        a file, it is derived from the nearest vertices.
        """
        name = "smpl_lbs/bigpose_bw.npy" if frame is None else f"smpl_lbs/bweights/{frame}.npy"
        vertices = self.big_pose_vertices() if frame is None else self.posed_vertices(frame)
        template = self.template()
        if self.path(name).exists():
            volume = self._volume(name, len(template.parents) + 1, vertices)
            return volume, volumes.volume_origin(vertices), volumes.STEP
        return volumes.blend_weight_volume(vertices, template.faces.numpy(), template.lbs_weights.numpy())

    def uv_volume(self) -> tuple[Float[np.ndarray, "X Y Z 2"], Float[np.ndarray, "3"], float]:
        """The volume of texture coordinates around the canonical body, its origin (m) and its step (m)."""
        vertices, template = self.big_pose_vertices(), self.template()
        origin = volumes.volume_origin(vertices)
        if (self.root / "bigpose_uv.npy").exists():
            return self._volume("bigpose_uv.npy", 2, vertices), origin, volumes.STEP
        assert template.uv is not None  # `template` derives them if the folder has none
        return volumes.uv_volume(vertices, template.faces.numpy(), template.uv.numpy()), origin, volumes.STEP

    def _volume(self, name: str, channels: int, vertices: np.ndarray) -> np.ndarray:
        volume = self._array(name, (None, None, None, channels))
        nodes = (np.ptp(vertices, axis=0) + 2 * volumes.PAD) / volumes.STEP + 1
        if (abs(volume.shape[:3] - nodes) > 2).any():  # rounding can add or remove a node at the far end
            raise UserError(
                f"{self.path(name)}: a grid of {shape_text(volume.shape[:3])} nodes does not fit the body; delete it, "
                "or compute it again."
            )
        return volume.astype(np.float32)

    def _array(self, name: str, shape: tuple[int | None, ...], meta: str | None = None) -> np.ndarray:
        """An array of this folder; if it is missing and `meta` is given, the array of that name in `smpl_meta`."""
        path = self.path(name)
        if not path.exists() and meta is not None:
            if self.smpl_meta is None:
                raise UserError(
                    f"{path} does not exist; name the folder that holds {meta}, or SMPL's file, with data.smpl_meta."
                )
            if meta in self._model:
                return self._model[meta]
            path = self.smpl_meta / meta
        return read_numbers(path, shape)

    @functools.cached_property
    def _model(self) -> dict[str, np.ndarray]:
        """The body at rest that SMPL's file makes of the shape in `smpl_params/`; empty if there is no such file."""
        if self.smpl_meta is None or self.smpl_meta.is_dir():
            return {}
        model = source.load(self.smpl_meta)
        betas = self._betas(model.shapedirs.shape[-1])
        vertices = model.v_template + model.shapedirs[..., : len(betas)] @ betas
        parents = np.array(model.parents)
        return {
            "joints.npy": model.J_regressor @ vertices, "tvertices.npy": vertices, "parents.npy": parents,
            "faces.npy": model.faces, "weights.npy": model.weights,
        }  # fmt: skip

    def _betas(self, most: int) -> Float[np.ndarray, "S"]:
        """The shape parameters of the first pose. Raises UserError if there are none, or more than `most`."""
        if not self.posed_frames:
            raise UserError(f"{self.path('smpl_params')} holds no poses, whose shape the body would have.")
        path = self.path(f"smpl_params/{self.posed_frames[0]}.npy")
        params = files.load_npy(path)
        betas = np.asarray(params.get("shapes") if isinstance(params, dict) else None)
        if betas.dtype.kind not in "fiu" or not 0 < betas.size <= most or not np.isfinite(betas).all():
            raise UserError(f"{path}: shapes must hold 1 to {most} finite numbers, not {described(betas)}.")
        return betas.astype(np.float32).ravel()
