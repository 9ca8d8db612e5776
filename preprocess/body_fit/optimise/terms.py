"""The terms of the objective. Each is a mean over frames of residuals divided by their deviation, so it has no unit.

Residuals in the picture are converted to metres at the person's depth, so that the weights suit any picture size and
focal length. No term except the prior of the shape depends on the size of the body: one camera cannot tell it, and
otherwise a smaller body would have smaller residuals.
"""

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from preprocess.body_fit.evidence.evidence import Evidence, to_device
from preprocess.body_fit.evidence.flow import AHEAD
from preprocess.body_fit.evidence.turns import TURNED
from preprocess.body_fit.geometry import project
from preprocess.body_fit.joint_ranges import joint_ranges, joint_spread
from preprocess.body_fit.landmarks import IMAGE_DEVIATION, WORLD_BIAS, WORLD_DEVIATION
from preprocess.body_fit.optimise.correspondences import Correspondences, pick
from preprocess.body_fit.optimise.robust import charbonnier, geman_mcclure, robust_mean
from preprocess.body_fit.sequence import BodySequence, Posed


class Terms:
    """The terms of one sequence, by name. Each takes the posed body and returns a scalar; NAMES lists them.

    Args:
        sequence: the parameters, on the device that computes.
        evidence: what the pictures show; it is copied to that device.
    """

    NAMES = (
        "points", "world", "inside", "contour", "flow", "texture", "turns",
        "smooth", "smooth_pose", "limits", "rest", "shape", "clothes",
    )  # fmt: skip

    def __init__(self, sequence: BodySequence, evidence: Evidence) -> None:
        device, names = sequence.pose.device, sequence.body.joint_names
        self.sequence, self.evidence = sequence, to_device(evidence, device)
        ranges = joint_ranges(names)
        self.mirror, self.low, self.high = (
            x.to(device) for x in (ranges.mirror, ranges.low.deg2rad(), ranges.high.deg2rad())
        )
        self.spread = joint_spread(names).to(device)
        self.image_deviation, self.world_deviation = IMAGE_DEVIATION.to(device), WORLD_DEVIATION.to(device)
        self.bias_along_view, self.bias_ahead = WORLD_BIAS.to(device).split(1, -1)
        self.turned = torch.tensor([names.index(name) for name in TURNED], device=device)
        self.view = torch.tensor([0.0, 0, 1], device=device)
        self.correspondences = Correspondences(self.evidence)

    def match(self, posed: Posed, terms: Collection[str]) -> bool:
        """Searches the correspondences that the named terms need; returns what `Correspondences.search` does."""
        return self.correspondences.search(posed, self.metres_per_pixel(), terms)

    def metres_per_pixel(self) -> Float[Tensor, "F"]:
        """At the person's depth, for a body of the mean size."""
        return (self.sequence.pelvis[:, 2] / self.evidence.K[0, 0]).detach()

    def points(self, posed: Posed) -> Tensor:
        """Landmarks project onto the detected points (deviation: each landmark's own)."""
        e = self.evidence
        pixels = project(posed.landmarks, e.K)
        residual = (pixels - e.image) * self.metres_per_pixel()[:, None, None] / self.image_deviation[:, None]
        return (e.image_weight * geman_mcclure(residual.square().sum(-1), 3.0)).mean()

    def world(self, posed: Posed) -> Tensor:
        """Landmarks lie where the 3D points do, both relative to their means, up to one scale for the sequence."""
        e = self.evidence
        weight = (e.world_weight / e.world_weight.sum(-1, keepdim=True).clamp_min(1e-6))[..., None]
        ahead = posed.bone_transforms[:, 0, None, :3, 2]
        bias = ahead * self.bias_ahead + self.bias_along_view * self.view
        model = posed.landmarks - posed.size * bias
        model = model - (weight * model).sum(1, keepdim=True)
        seen = e.world - (weight * e.world).sum(1, keepdim=True)
        scale = (weight * model * seen).sum() / (weight * model * model).sum()
        residual = (scale * model - seen) / self.world_deviation
        return (e.world_weight * geman_mcclure(residual.square().sum(-1), 3.0)).mean()

    def inside(self, posed: Posed) -> Tensor:
        """No vertex projects outside the mask (deviation: 2 cm)."""
        e = self.evidence
        pixels = project(posed.vertices, e.K)
        outside = e.silhouettes.signed_distance(pixels).clamp_min(0) * self.metres_per_pixel()[:, None] / 0.02
        return (geman_mcclure(outside.square(), 8.0) * e.silhouettes.valid[:, None]).mean()

    def contour(self, posed: Posed) -> Tensor:
        """The body's rim lies on the contour of the mask, measured along the contour's normal (deviation: 2 cm)."""
        e = self.evidence
        pixels = project(pick(posed.vertices, self.correspondences.rim), e.K)
        away = ((pixels - e.silhouettes.points) * e.silhouettes.normals).sum(-1)
        residual = away * self.metres_per_pixel()[:, None] / 0.02
        return (geman_mcclure(residual.square(), 6.0) * e.silhouettes.point_valid).mean()

    def flow(self, posed: Posed) -> Tensor:
        """Visible vertices move as the optical flow does (deviation: 6 mm from one frame to that `AHEAD` of it)."""
        e = self.evidence
        at, counts = self.correspondences.seen, self.correspondences.counts
        frames = torch.arange(len(at), device=at.device)
        later = (frames + AHEAD).clamp_max(len(frames) - 1)
        pixels, then = (project(pick(x, at), e.K) for x in (posed.vertices, posed.vertices.index_select(0, later)))
        motion, trust = e.flow.at(pixels.detach())
        residual = (then - pixels - motion) * self.metres_per_pixel()[:, None, None] / 0.006
        return (trust * counts * geman_mcclure(residual.square().sum(-1), 4.0)).sum() / posed.vertices[..., 0].numel()

    def texture(self, posed: Posed) -> Tensor:
        """A vertex shows the same pattern in all pictures that see it (deviation: half a unit of contrast)."""
        e = self.evidence
        at, counts = self.correspondences.seen, self.correspondences.counts
        seen, trust = e.texture.at(project(pick(posed.vertices, at), e.K))
        weight = (trust * counts).detach()
        residual = (seen - robust_mean(seen.detach(), weight, at, posed.vertices.shape[1])) / 0.5
        return (weight * geman_mcclure(residual.square().sum(-1), 3.0)).sum() / posed.vertices[..., 0].numel()

    def turns(self, posed: Posed) -> Tensor:
        """Joints are turned as was measured (deviation: 20 degrees)."""
        measured = self.evidence.turns
        away = posed.bone_transforms.index_select(1, self.turned)[..., :3, :3] - measured.rotation
        squared = away.square().sum((-1, -2)) / 2 / 0.35**2  # of the angle, as long as that is small
        return (measured.trust * geman_mcclure(squared, 3.0)).mean()

    def smooth(self, posed: Posed) -> Tensor:
        """Small accelerations of the pelvis, and of the joints relative to it (deviation: 1 cm per frame^2)."""
        joints = torch.cat([posed.joints[:, :1], posed.joints[:, 1:] - posed.joints[:, :1]], 1) / posed.size
        return charbonnier(acceleration(joints) / 0.01).mean()

    def smooth_pose(self, posed: Posed) -> Tensor:
        """Small accelerations of the joint rotations (deviation: 0.05 rad per frame^2)."""
        return charbonnier(acceleration(self.sequence.pose) / 0.05).mean()

    def limits(self, posed: Posed) -> Tensor:
        """Joints within their ranges (deviation: 0.1 rad)."""
        pose = self.sequence.pose * self.mirror
        beyond = (pose - self.high).clamp_min(0) + (self.low - pose).clamp_min(0)
        return (beyond / 0.1).square().sum(-1).mean()

    def rest(self, posed: Posed) -> Tensor:
        """Joints near rest (deviation: each joint's own)."""
        return (self.sequence.pose / self.spread).square().sum(-1).mean()

    def shape(self, posed: Posed) -> Tensor:
        """Shape near the mean of the prior."""
        return self.sequence.shape.square().sum()

    def clothes(self, posed: Posed) -> Tensor:
        """Clothes about 1 cm thick (deviation: 1 cm)."""
        return ((self.sequence.offset - 0.01) / 0.01).square().mean()


def acceleration(x: Float[Tensor, "F *rest"]) -> Float[Tensor, "F_ *rest"]:
    """Second differences over the frames; a single zero for fewer than three frames."""
    if len(x) < 3:
        return torch.zeros_like(x[:1])
    return x[2:] - 2 * x[1:-1] + x[:-2]
