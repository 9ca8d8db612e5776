"""A picture's item under the names of instant-nvr's dataset.

Use it to compare with code that has those names, or to exchange data with it. `docs/data_stream.md` maps each name to
ours. Training uses the same functions, but not this item. H, W: picture; N rays; J joints; V vertices; P parts;
X, Y, Z: nodes of a volume. Tensors are float32 and metres unless stated otherwise.
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

BOX_PADDING = 0.05  # metres between a body and its box
PART_OVERLAP = 0.2  # metres between a part and its canonical box
EDGE = 5  # side (pixels) of the kernel that marks the outline
EDGE_LABEL = 100  # of pixels near the outline in `msk`


def nvr_item(
    subject: Subject,
    picture: Picture,
    train_frames: Sequence[int],
    n_rays: int | None = None,
    n_sub_points: int | None = None,
    parts: Mapping[str, Sequence[str]] = INSTANT_NVR_PARTS,
    generator: torch.Generator | None = None,
) -> dict[str, Any]:
    """The item of one picture.

    Args:
        subject: the subject folder.
        picture: one of its pictures.
        train_frames: frames of the training window, in order. A latent code's index is the position in this list.
        n_rays: number of rays to draw, half of them on the body (training); None for every pixel of the body's box
            (testing).
        n_sub_points: size of the random subset `sub_ppts`; None for all points.
        parts: name -> joint names.
        generator: draws the random numbers.

    Raises:
        UserError: as `Subject`'s methods and `part_of_vertices` do.
    """
    item = camera_nodes(subject, picture) | mask_nodes(subject, picture, tuple(parts))
    item |= body_nodes(subject, picture.frame) | index_nodes(subject, picture, train_frames)
    item |= part_nodes(subject.template(), item["ppts"], item["tpts"], parts)
    item |= volume_nodes(subject, picture.frame)
    item["sub_ppts"] = random_points(item["ppts"], n_sub_points, generator)
    return item | ray_nodes(subject, picture, item["wbounds"], item["msk"], item["orig_msk"], n_rays, generator)


def camera_nodes(subject: Subject, picture: Picture) -> dict[str, Any]:
    """`H W K T D`, and the camera's rotation as `cam_R`, since `R` is the body's rotation in this item."""
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

    `sem_mask` is empty for parts that `lip.PART_CLASSES` lacks, and for pictures without part labels.
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
    """Labels the pixels within `EDGE` // 2 of the outline with `EDGE_LABEL`, where training draws no rays."""
    kernel = np.ones((EDGE, EDGE), np.uint8)
    return np.where(cv2.dilate(mask, kernel) != cv2.erode(mask, kernel), EDGE_LABEL, mask).astype(np.uint8)


def body_nodes(subject: Subject, frame: int) -> dict[str, Any]:
    """The body of a frame.

    `wpts ppts tpts` (V, 3), their boxes `wbounds pbounds tbounds` (2, 3), `A big_A` (J, 4, 4), `R` (3, 3) and `Th`
    (1, 3) with world = R posed + Th, and `faces joints parents weights` of the template.
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
    """`pbw` and `tbw` (X, Y, Z, J + 1; skinning weights, then distance in metres), and `tuv` (X, Y, Z, 2)."""
    return {
        "pbw": torch.from_numpy(subject.blend_weight_volume(frame)[0]),
        "tbw": torch.from_numpy(subject.blend_weight_volume()[0]),
        "tuv": torch.from_numpy(subject.uv_volume()[0]),
    }


def index_nodes(subject: Subject, picture: Picture, train_frames: Sequence[int]) -> dict[str, Any]:
    """`frame_index`, and the indices of latent codes, `latent_index bw_latent_index`.

    `frame_dim` is `latent_index` over the number of training frames. A frame outside training uses the last training
    frame's code; `bw_latent_index` counts such frames from 0.
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
    """The body's points by part.

    `parts` (V; the part of each vertex), `lengths2` (P; number of vertices, int64), `part_pts` (P, M, 3; posed) and
    `part_pbw` (P, M, J), both padded with zeros to the M vertices of the largest part, and the boxes `bounds` (P, 2, 3)
    in canonical space.
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
    """`sub_ppts`: `count` random points without repetition, or all of them in their order if `count` is None."""
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
    `mask_at_box` states whether a ray meets the box: for all pixels (H W) in testing; for the drawn rays, which all do,
    in training. `rgb` is in [0, 1], and black outside `msk`.
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
    """Positions of `count` random candidates, with repetition; none if there is no candidate."""
    pool = candidates.nonzero()[:, 0]
    return pool[torch.randint(len(pool), (count,), generator=generator)] if len(pool) else pool
