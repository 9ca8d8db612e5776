"""Correspondences between the body and the pictures, which are searched again every few steps of the minimisation.

There are two kinds: for each contour point of the mask, the vertex on the rim of the body that belongs to it; and the
vertices that the camera sees, whose flow and texture can be compared.
"""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from preprocess.body_fit.evidence.evidence import Evidence
from preprocess.body_fit.geometry import project
from preprocess.body_fit.optimise.visible import visible
from preprocess.body_fit.sequence import Posed

FRAMES_AT_A_TIME = 64  # when contours are matched on a GPU
RIM = 0.35  # a vertex is on the rim if the cosine between its normal and the view is below this
DISAGREEMENT = 0.1  # metres that one unit of disagreement between the normals is worth
OFF_RIM = 0.3  # metres that one unit of cosine beyond RIM is worth
GPU_MULTIPLE = 256  # the count of visible vertices is rounded up to a multiple of this on a GPU


class Correspondences:
    """The correspondences of one sequence, which `search` finds.

    K, the number of visible vertices per frame, is rounded up to a multiple of `multiple`. A captured CUDA graph can be
    replayed only while shapes stay the same, and rounding makes them change rarely.

    Args:
        evidence: on the device that computes.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.multiple = GPU_MULTIPLE if evidence.K.is_cuda else 1
        self.found: dict[str, Tensor] = {}

    @property
    def rim(self) -> Int[Tensor, "F C"]:
        """The vertex that belongs to each contour point."""
        return self.found["rim"]

    @property
    def seen(self) -> Int[Tensor, "F K"]:
        """The visible vertices of each frame; a frame with fewer than K has others at the end."""
        return self.found["seen"]

    @property
    def counts(self) -> Bool[Tensor, "F K"]:
        """Which of the vertices in `seen` are visible."""
        return self.found["counts"]

    @torch.no_grad()
    def search(self, posed: Posed, metres_per_pixel: Float[Tensor, "F"], terms: Collection[str]) -> bool:
        """Finds the correspondences that the named terms need; they hold until the next search.

        Args:
            posed: the body with the current parameters.
            metres_per_pixel: at the person's depth in each frame.
            terms: names of the weighted terms.

        Returns:
            Whether the result lies in the same tensors as the last one, so that a captured CUDA graph reads it. That is
            the case if its shapes have not changed.
        """
        fresh = {}
        if "contour" in terms:
            fresh["rim"] = match_contour(self.evidence, posed, metres_per_pixel)
        if "flow" in terms or "texture" in terms:
            fresh["seen"], fresh["counts"] = gather_chosen(visible(posed), self.multiple)
        unchanged = all(name in self.found and self.found[name].shape == value.shape for name, value in fresh.items())
        if unchanged:
            for name, value in fresh.items():
                self.found[name].copy_(value)
        else:
            self.found = fresh
        return unchanged


def match_contour(evidence: Evidence, posed: Posed, metres_per_pixel: Float[Tensor, "F"]) -> Int[Tensor, "F C"]:
    """For each contour point, the nearest vertex on the rim of the body whose normal agrees with the contour's."""
    outlines = evidence.silhouettes
    pixels = project(posed.vertices, evidence.K)
    facing = (posed.normals * torch.nn.functional.normalize(posed.vertices, dim=-1)).sum(-1)
    flat = torch.nn.functional.normalize(posed.normals[..., :2], dim=-1)
    off_rim = OFF_RIM * (facing.abs() - RIM).clamp_min(0)
    if not pixels.is_cuda:
        from preprocess.body_fit.optimise.correspondence_loops import nearest_on_rim

        return nearest_on_rim(
            pixels, flat, off_rim, outlines.points, outlines.normals, metres_per_pixel, DISAGREEMENT
        )  # fmt: skip
    matched = []
    for f in torch.arange(len(pixels)).split(FRAMES_AT_A_TIME):  # all at once would take too much memory
        some = slice(int(f[0]), int(f[-1]) + 1)
        distance = torch.cdist(outlines.points[some], pixels[some]) * metres_per_pixel[some, None, None]
        disagreement = 1 - outlines.normals[some] @ flat[some].mT
        matched.append((distance + DISAGREEMENT * disagreement + off_rim[some, None]).argmin(2))
    return torch.cat(matched)


def gather_chosen(chosen: Bool[Tensor, "F M"], multiple: int = 1) -> tuple[Int[Tensor, "F K"], Bool[Tensor, "F K"]]:
    """Indices of the chosen elements of each row, ahead of others, and which of the K indices are chosen ones.

    K is the largest count of a row, rounded up to a multiple of `multiple` and limited to M.
    """
    count = -(-int(chosen.sum(1).max()) // multiple) * multiple
    order = chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]
    return order, chosen.gather(1, order)


def pick(points: Float[Tensor, "F M 3"], which: Int[Tensor, "F K"]) -> Float[Tensor, "F K 3"]:
    """Some of the points of each frame, by their indices."""
    return points.gather(1, which[..., None].expand(-1, -1, 3))
