"""One picture as instant-nvr's dataset would yield it: every quantity of the field's data stream, under its own name.

For comparing with, and moving to or from, code that speaks those names; `docs/data_stream.md` maps each to ours.
Training does not go through here, but through the same functions. H, W: picture; N rays; J joints; V vertices; P parts;
X, Y, Z: nodes of a volume. Tensors are float32 and metres unless stated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_vertices
from hashhuman.body.template import BodyTemplate
from hashhuman.data import lip
from hashhuman.data.subject import Picture, Subject
from hashhuman.geometry import box, skinning

BOX_PADDING = 0.05  # metres around bodies
PART_OVERLAP = 0.2  # metres by which the parts' canonical boxes reach into each other
EDGE = 5  # pixels: side of the kernel that marks the outline
EDGE_LABEL = 100


def nvr_item(
    subject: Subject,
    picture: Picture,
    train_frames: Sequence[int],
    n_rays: int | None = None,
    n_sub_points: int | None = None,
    parts: Mapping[str, Sequence[str]] = INSTANT_NVR_PARTS,
    generator: torch.Generator | None = None,
) -> dict[str, Any]:
    """All of the data stream for one picture.

    Args:
        train_frames: frames of the training window, in order: they number the latent codes.
        n_rays: rays to draw, half of them on the body (training); None: every pixel of the body's box (testing).
        n_sub_points: size of the random subset `sub_ppts`; None: all points.
        parts: name -> joint names.
        generator: of the random choices.
    """
    item = camera_nodes(subject, picture) | mask_nodes(subject, picture, tuple(parts))
    item |= body_nodes(subject, picture.frame) | index_nodes(subject, picture, train_frames)
    item |= part_nodes(subject.template(), item["ppts"], item["tpts"], parts)
    item |= volume_nodes(subject, picture.frame)
    item["sub_ppts"] = random_points(item["ppts"], n_sub_points, generator)
    return item | ray_nodes(subject, picture, item["wbounds"], item["msk"], item["orig_msk"], n_rays, generator)


def camera_nodes(subject: Subject, picture: Picture) -> dict[str, Any]:
    """`H W K T D`, and the camera's rotation as `cam_R`, since the field's item keeps `R` for the body's."""
    camera = subject.camera(picture.camera)
    return {
        "H": camera.height,
        "W": camera.width,
        "K": camera.K,
        "cam_R": camera.R,
        "T": camera.T[:, None],
        "D": torch.from_numpy(subject.distortion(picture.camera)).float()[:, None],
        "cam_ind": picture.camera,
    }


def mask_nodes(subject: Subject, picture: Picture, part_names: Sequence[str]) -> dict[str, UInt8[Tensor, "*shape"]]:
    """`orig_msk` (H, W; 0 or 1), `msk` (the same with 100 along the outline) and `sem_mask` (P, H, W; 0 or 1).

    Parts of other names than `lip.PART_CLASSES`, and pictures without part labels, have empty masks.
    """
    mask = (subject.mask(picture) > 0.5).astype(np.uint8)
    labels = np.zeros_like(mask) if picture.parts is None else subject.parts(picture)
    parts = np.stack([np.isin(labels, lip.PART_CLASSES.get(name, ())) for name in part_names])
    return {
        "msk": torch.from_numpy(mark_edge(mask)),
        "orig_msk": torch.from_numpy(mask),
        "sem_mask": torch.from_numpy(parts.astype(np.uint8)),
    }


def mark_edge(mask: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Labels the pixels within `EDGE` // 2 of the outline with `EDGE_LABEL`: nothing is learnt there."""
    kernel = np.ones((EDGE, EDGE), np.uint8)
    return np.where(cv2.dilate(mask, kernel) != cv2.erode(mask, kernel), EDGE_LABEL, mask).astype(np.uint8)


def body_nodes(subject: Subject, frame: int) -> dict[str, Any]:
    """The frame's body.

    `wpts ppts tpts` (V, 3), their boxes `wbounds pbounds tbounds` (2, 3), `A big_A` (J, 4, 4), `R` (3, 3) and
    `Th` (1, 3) of world = R posed + Th, and the template's `faces joints parents weights`.
    """
    template, pose = subject.template(), subject.pose(frame)
    world = torch.from_numpy(subject.vertices(frame))
    posed = torch.from_numpy(subject.posed_vertices(frame))
    canonical = torch.from_numpy(subject.big_pose_vertices())
    return {
        "wpts": world,
        "ppts": posed,
        "tpts": canonical,
        "wbounds": box.bounds(world, BOX_PADDING),
        "pbounds": box.bounds(posed, BOX_PADDING),
        "tbounds": box.bounds(canonical, BOX_PADDING),
        "A": template.bone_transforms(pose.body_pose),
        "big_A": template.bone_transforms(template.big_pose()),
        "R": skinning.axis_angle_to_matrix(pose.orient),
        "Th": pose.transl[None],
        "faces": template.faces,
        "joints": template.joints,
        "parents": torch.tensor(template.parents),
        "weights": template.lbs_weights,
    }


def volume_nodes(subject: Subject, frame: int) -> dict[str, Float[Tensor, "X Y Z C"]]:
    """`pbw` and `tbw` (X, Y, Z, J + 1: weights, then distance in metres) and `tuv` (X, Y, Z, 2)."""
    return {
        "pbw": torch.from_numpy(subject.blend_weight_volume(frame)[0]),
        "tbw": torch.from_numpy(subject.blend_weight_volume()[0]),
        "tuv": torch.from_numpy(subject.uv_volume()[0]),
    }


def index_nodes(subject: Subject, picture: Picture, train_frames: Sequence[int]) -> dict[str, Any]:
    """`frame_index`, and the latent codes' `latent_index bw_latent_index frame_dim` (the first over their number).

    A frame outside training borrows the last one's code; its `bw_latent_index` counts such frames from 0.
    """
    frame = picture.frame
    if frame in train_frames:
        latent = bw_latent = list(train_frames).index(frame)
    else:
        latent = len(train_frames) - 1
        bw_latent = [f for f in subject.frames if f not in set(train_frames)].index(frame)
    return {
        "frame_index": frame,
        "latent_index": latent,
        "bw_latent_index": bw_latent,
        "frame_dim": torch.tensor(latent / len(train_frames)),
    }


def part_nodes(
    template: BodyTemplate,
    posed: Float[Tensor, "V 3"],
    canonical: Float[Tensor, "V 3"],
    parts: Mapping[str, Sequence[str]],
) -> dict[str, Tensor]:
    """The body's points part by part.

    `parts` (V: the part of each vertex), `lengths2` (P: how many each has, int64), padded with zeros to the largest
    part `part_pts` (P, M, 3; posed) and `part_pbw` (P, M, J), and boxes `bounds` (P, 2, 3) in canonical space.
    """
    part = part_of_vertices(template, parts)
    members = [(part == index).nonzero()[:, 0] for index in range(len(parts))]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "parts": part,
        "lengths2": torch.tensor([len(rows) for rows in members]),
        "part_pts": pad([posed[rows] for rows in members], batch_first=True),
        "part_pbw": pad([template.lbs_weights[rows] for rows in members], batch_first=True),
        "bounds": torch.stack([box.bounds(canonical[rows], PART_OVERLAP) for rows in members]),
    }


def random_points(
    points: Float[Tensor, "V 3"], count: int | None, generator: torch.Generator | None
) -> Float[Tensor, "S 3"]:
    """`sub_ppts`: a random subset of the points, or all of them in their order."""
    return points if count is None else points[torch.randperm(len(points), generator=generator)[:count]]


def ray_nodes(
    subject: Subject,
    picture: Picture,
    wbounds: Float[Tensor, "2 3"],
    msk: UInt8[Tensor, "H W"],
    orig_msk: UInt8[Tensor, "H W"],
    n_rays: int | None,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Rays through the body's box.

    `ray_o ray_d rgb` (N, 3), `near far` (N), `coord` (N, 2; row, column; int64) and `occupancy` (N; uint8, 0 or 1).
    `mask_at_box` says which rays meet the box: of all pixels (H W) when testing; of the drawn ones, so always true,
    when training. `rgb` is in [0, 1] and black outside `msk`.
    """
    camera = subject.camera(picture.camera)
    rows, columns = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    rays_o, rays_d = camera.rays(torch.stack([columns, rows], -1).reshape(-1, 2).float())
    near, far = box.intersect(rays_o, rays_d, wbounds[:1], wbounds[1:])
    hit = near < far
    if n_rays is None:
        chosen = hit.nonzero()[:, 0]
    else:
        chosen = draw(hit & (msk.flatten() == 1), n_rays // 2, generator)
        chosen = torch.cat([chosen, draw(hit & (msk.flatten() != EDGE_LABEL), n_rays - len(chosen), generator)])
    color = torch.from_numpy(subject.image(picture)).reshape(-1, 3)[chosen].float() / 255
    return {
        "rgb": color * (msk.flatten()[chosen, None] != 0),
        "occupancy": orig_msk.flatten()[chosen],
        "mask_at_box": hit if n_rays is None else hit[chosen],
        "ray_o": rays_o[chosen],
        "ray_d": rays_d[chosen],
        "near": near[chosen],
        "far": far[chosen],
        "coord": torch.stack([rows.flatten(), columns.flatten()], -1)[chosen],
    }


def draw(candidates: Bool[Tensor, "M"], count: int, generator: torch.Generator | None) -> Tensor:
    """Positions of `count` candidates, with repetition; none if there is no candidate."""
    pool = candidates.nonzero()[:, 0]
    return pool[torch.randint(len(pool), (count,), generator=generator)] if len(pool) else pool
