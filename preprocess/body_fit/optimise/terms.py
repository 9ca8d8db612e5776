"""What a good fit minimises. Every term is a mean over frames, free of units: residuals in metres over a deviation.

A pixel becomes metres at the person's depth, so that weights suit any picture size and focal length. No term but the
prior of the shape may see how large the body is: one camera cannot tell, and a smaller body would make every residual
smaller.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from preprocess.body_fit.evidence.evidence import Evidence, moved
from preprocess.body_fit.evidence.flow import AHEAD
from preprocess.body_fit.landmarks import IMAGE_DEVIATION, WORLD_BIAS, WORLD_DEVIATION
from preprocess.body_fit.optimise.sequence import BodySequence, Posed
from preprocess.body_fit.optimise.visible import visible

# degrees about x (positive: legs swing back, the trunk bows), y and z of the rest frame; for the person's left side, of
# which the right one is the mirror image
LIMITS = {
    "spine1": ((-25, 45), (-30, 30), (-25, 25)),
    "spine2": ((-20, 40), (-30, 30), (-20, 20)),
    "spine3": ((-20, 35), (-30, 30), (-20, 20)),
    "neck": ((-40, 40), (-50, 50), (-35, 35)),
    "head": ((-40, 40), (-50, 50), (-35, 35)),
    "hip": ((-140, 45), (-60, 60), (-40, 75)),
    "knee": ((-3, 150), (-20, 20), (-15, 15)),
    "ankle": ((-50, 50), (-35, 35), (-30, 30)),
    "foot": ((-45, 20), (-5, 5), (-5, 5)),
    "collar": ((-25, 25), (-30, 30), (-20, 40)),
    "wrist": ((-70, 70), (-50, 50), (-70, 70)),
    "hand": ((-3, 3), (-3, 3), (-3, 3)),
}
# radians: how far a joint usually is from rest (Anny rests in an A-pose)
SPREAD = {
    "spine1": 0.2, "spine2": 0.2, "spine3": 0.2, "neck": 0.3, "head": 0.3, "collar": 0.2, "hip": 0.8, "knee": 1.0,
    "ankle": 0.4, "foot": 0.15, "shoulder": 1.0, "elbow": 1.0, "wrist": 0.4, "hand": 0.05,
}  # fmt: skip
FRAMES_AT_A_TIME = 64  # on a GPU, when contours are matched
RIM = 0.35  # a vertex is on the rim if its normal is that near to square with the view: a cosine


def base_name(joint: str) -> str:
    """'left_hip' -> 'hip'."""
    return joint.rpartition("_")[2]


def project(points: Float[Tensor, "*batch 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "*batch 2"]:
    """Camera points (m) to pixels; what comes nearer than 10 cm is held there."""
    return points[..., :2] / points[..., 2:].clamp_min(0.1) * torch.stack([K[0, 0], K[1, 1]]) + K[:2, 2]


def robust(squared: Tensor, scale: float) -> Tensor:
    """Geman-McClure: quadratic for residuals far below `scale`, at most scale^2."""
    return squared / (1 + squared / scale**2)


def heavy_tailed(residual: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    """Charbonnier: half the squared norm near zero, the norm far from it. Jitter is quelled and a leap is let pass."""
    return (1 + residual.square().sum(-1)).sqrt() - 1


class Terms:
    """The terms of one sequence, by name. Each takes the posed body and returns a scalar."""

    NAMES = (
        "points", "world", "inside", "contour", "flow", "texture",
        "smooth", "smooth_pose", "limits", "rest", "shape", "clothes",
    )  # fmt: skip

    def __init__(self, sequence: BodySequence, evidence: Evidence) -> None:
        device = sequence.pose.device
        self.sequence, self.evidence = sequence, moved(evidence, device)
        names = [base_name(n) for n in sequence.body.joint_names]
        mirror = torch.tensor(
            [[1.0, -1, -1] if n.startswith("right_") else [1.0, 1, 1] for n in sequence.body.joint_names]
        )
        limits = torch.tensor([LIMITS.get(n, ((-180, 180),) * 3) for n in names]).deg2rad()
        self.mirror, self.low, self.high = (x.to(device) for x in (mirror, limits[..., 0], limits[..., 1]))
        self.spread = torch.tensor([SPREAD.get(n, 1.0) for n in names], device=device)
        self.image_deviation, self.world_deviation = IMAGE_DEVIATION.to(device), WORLD_DEVIATION.to(device)
        self.along, self.ahead = WORLD_BIAS.to(device).split(1, -1)
        self.view = torch.tensor([0.0, 0, 1], device=device)
        self.found: dict[str, Tensor] = {}  # correspondences
        self.together = 256 if device.type == "cuda" else 1  # points in sight, as what multiple: see `match`

    def metres_per_pixel(self) -> Float[Tensor, "F"]:
        """At the person's depth, for a body of the mean size."""
        return (self.sequence.pelvis[:, 2] / self.evidence.K[0, 0]).detach()

    def points(self, posed: Posed) -> Tensor:
        """Landmarks project onto the detected points (each landmark's own deviation)."""
        e = self.evidence
        pixels = project(posed.landmarks, e.K)
        residual = (pixels - e.image) * self.metres_per_pixel()[:, None, None] / self.image_deviation[:, None]
        return (e.image_weight * robust(residual.square().sum(-1), 3.0)).mean()

    def world(self, posed: Posed) -> Tensor:
        """Landmarks about their mean lie where the 3D points lie about theirs, up to one scale for the sequence."""
        e = self.evidence
        weight = (e.world_weight / e.world_weight.sum(-1, keepdim=True).clamp_min(1e-6))[..., None]
        ahead = posed.bone_transforms[:, 0, None, :3, 2]
        bias = ahead * self.ahead + self.along * self.view
        model = posed.landmarks - posed.size * bias
        model = model - (weight * model).sum(1, keepdim=True)
        seen = e.world - (weight * e.world).sum(1, keepdim=True)
        scale = (weight * model * seen).sum() / (weight * model * model).sum()
        residual = (scale * model - seen) / self.world_deviation
        return (e.world_weight * robust(residual.square().sum(-1), 3.0)).mean()

    def inside(self, posed: Posed) -> Tensor:
        """No skin outside the mask (2 cm)."""
        e = self.evidence
        pixels = project(posed.vertices, e.K)
        outside = e.silhouettes.signed_distance(pixels).clamp_min(0) * self.metres_per_pixel()[:, None] / 0.02
        return (robust(outside.square(), 8.0) * e.silhouettes.valid[:, None]).mean()

    @torch.no_grad()
    def match(self, posed: Posed, weights: Mapping[str, float]) -> bool:
        """Renews the correspondences that the weighted terms need; they hold until the next call.

        Returns whether they lie where the last ones did, so that a recorded graph finds them: those of the same number.
        """
        fresh = {}
        if "contour" in weights:
            fresh["rim"] = self._match_contour(posed)
        if "flow" in weights or "texture" in weights:
            fresh["seen"], fresh["counts"] = together(visible(posed), self.together)
        stay = all(name in self.found and self.found[name].shape == value.shape for name, value in fresh.items())
        if stay:
            for name, value in fresh.items():
                self.found[name].copy_(value)
        else:
            self.found = fresh
        return stay

    def _match_contour(self, posed: Posed) -> Int[Tensor, "F C"]:
        """For each contour point, the nearest rim vertex whose normal agrees."""
        e = self.evidence
        pixels = project(posed.vertices, e.K)
        facing = (posed.normals * torch.nn.functional.normalize(posed.vertices, dim=-1)).sum(-1)
        flat = torch.nn.functional.normalize(posed.normals[..., :2], dim=-1)
        metres = self.metres_per_pixel()
        matched = []
        # A few frames at a time: all at once would take frames x points x vertices of memory, and on a CPU more time.
        for f in torch.arange(len(pixels)).split(FRAMES_AT_A_TIME if pixels.is_cuda else 1):
            some = slice(int(f[0]), int(f[-1]) + 1)
            distance = torch.cdist(e.silhouettes.points[some], pixels[some]) * metres[some, None, None]
            disagree = 1 - e.silhouettes.normals[some] @ flat[some].mT
            off_rim = (facing[some].abs() - RIM).clamp_min(0)[:, None]
            matched.append((distance + 0.1 * disagree + 0.3 * off_rim).argmin(2))  # metres, and their worth
        return torch.cat(matched)

    def contour(self, posed: Posed) -> Tensor:
        """Each contour point of the mask has a matching rim vertex on it, along the contour's normal (2 cm)."""
        e = self.evidence
        pixels = project(picked(posed.vertices, self.found["rim"]), e.K)
        away = ((pixels - e.silhouettes.points) * e.silhouettes.normals).sum(-1)
        residual = away * self.metres_per_pixel()[:, None] / 0.02
        return (robust(residual.square(), 6.0) * e.silhouettes.point_valid).mean()

    def flow(self, posed: Posed) -> Tensor:
        """Skin that the camera sees moves as the picture does (6 mm from one frame to that `AHEAD` of it)."""
        e = self.evidence
        at, counts = self.found["seen"], self.found["counts"]
        frames = torch.arange(len(at), device=at.device)
        later = (frames + AHEAD).clamp_max(len(frames) - 1)
        pixels, then = (project(picked(x, at), e.K) for x in (posed.vertices, posed.vertices.index_select(0, later)))
        motion, trust = e.flow.at(pixels.detach())
        residual = (then - pixels - motion) * self.metres_per_pixel()[:, None, None] / 0.006
        return (trust * counts * robust(residual.square().sum(-1), 4.0)).sum() / posed.vertices[..., 0].numel()

    def texture(self, posed: Posed) -> Tensor:
        """Skin shows the same pattern in all pictures that see it (half a unit of contrast)."""
        e = self.evidence
        at, counts = self.found["seen"], self.found["counts"]
        seen, trust = e.texture.at(project(picked(posed.vertices, at), e.K))
        weight = (trust * counts).detach()
        residual = (seen - usual(seen.detach(), weight, at, posed.vertices.shape[1])) / 0.5
        return (weight * robust(residual.square().sum(-1), 3.0)).sum() / posed.vertices[..., 0].numel()

    def smooth(self, posed: Posed) -> Tensor:
        """Small accelerations of joints about the pelvis (1 cm a frame^2) and of the pelvis."""
        joints = torch.cat([posed.joints[:, :1], posed.joints[:, 1:] - posed.joints[:, :1]], 1) / posed.size
        return heavy_tailed(acceleration(joints) / 0.01).mean()

    def smooth_pose(self, posed: Posed) -> Tensor:
        """Small accelerations of joint rotations (0.05 rad a frame^2)."""
        return heavy_tailed(acceleration(self.sequence.pose) / 0.05).mean()

    def limits(self, posed: Posed) -> Tensor:
        """Joints within their ranges (0.1 rad)."""
        pose = self.sequence.pose * self.mirror
        beyond = (pose - self.high).clamp_min(0) + (self.low - pose).clamp_min(0)
        return (beyond / 0.1).square().sum(-1).mean()

    def rest(self, posed: Posed) -> Tensor:
        """Joints near rest."""
        return (self.sequence.pose / self.spread[:, None]).square().sum(-1).mean()

    def shape(self, posed: Posed) -> Tensor:
        """Shape near the prior's mean."""
        return self.sequence.shape.square().sum()

    def clothes(self, posed: Posed) -> Tensor:
        """Clothes about 1 cm thick (1 cm)."""
        return ((self.sequence.offset - 0.01) / 0.01).square().mean()


def picked(points: Float[Tensor, "F M 3"], which: Int[Tensor, "F K"]) -> Float[Tensor, "F K 3"]:
    """Some points of each frame, by their numbers."""
    return points.gather(1, which[..., None].expand(-1, -1, 3))


def together(chosen: Bool[Tensor, "F M"], multiple: int = 1) -> tuple[Int[Tensor, "F K"], Bool[Tensor, "F K"]]:
    """The chosen of each row, one after another, and which of these places count: rows with fewer are filled up.

    There are as many places as the fullest row needs, and up to the next `multiple` of places as far as there are.
    """
    places = -(-int(chosen.sum(1).max()) // multiple) * multiple
    order = chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :places]
    return order, chosen.gather(1, order)


def usual(
    features: Float[Tensor, "F K C"], weight: Float[Tensor, "F K"], point: Int[Tensor, "F K"], points: int
) -> Float[Tensor, "F K C"]:
    """What most frames show of each skin point: a mean that outliers hardly move, at every place of the point.

    Frames are weighed down by how far they are from the mean before, and again from the one after (iteratively
    reweighted least squares, with weights that add up).

    Args:
        features: about one where there is a pattern.
        weight: of each place.
        point: which skin point is seen there, of `points` in all.
    """
    flat, at = features.flatten(0, 1), point.flatten()

    def mean(weight: Float[Tensor, "F K"]) -> Float[Tensor, "F K C"]:
        rows = torch.cat([flat * weight.flatten()[:, None], weight.flatten()[:, None]], 1)
        sums = rows.new_zeros(points, rows.shape[1]).index_add_(0, at, rows)
        return (sums[:, :-1] / sums[:, -1:].clamp_min(1e-6))[point]

    for _ in range(2):
        weight = weight / (1 + (features - mean(weight)).square().sum(-1) / 2).square()
    return mean(weight)


def acceleration(x: Float[Tensor, "F *rest"]) -> Float[Tensor, "F_ *rest"]:
    """Second differences; zero, once, of a sequence too short to have any."""
    if len(x) < 3:
        return torch.zeros_like(x[:1])
    return x[2:] - 2 * x[1:-1] + x[:-2]
