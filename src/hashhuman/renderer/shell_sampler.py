"""Samples only inside the shell around the posed body."""

import torch
from jaxtyping import Float
from torch import Tensor

from hashhuman.deformer.bodies import PosedBodies, Shell
from hashhuman.renderer import box
from hashhuman.renderer.volume import Rays, Samples


class ShellSampler:
    """Cuts each ray's way through the body's box into bins, and spreads samples evenly over the bins in the shell.

    Args:
        n_samples: samples a ray (S).
        n_bins: tests a ray.
    """

    def __init__(self, n_samples: int, n_bins: int) -> None:
        self.n_samples, self.n_bins = n_samples, n_bins

    def __call__(self, rays: Rays, bodies: PosedBodies, shell: Shell, jitter: bool) -> Samples:
        """Stratified samples with `jitter`, midpoints without. Rays that miss the shell get no valid sample."""
        near, far = self.span(rays, bodies, shell)
        width = (far - near).clamp_min(0) / self.n_bins
        centers = near[:, None] + width[:, None] * (torch.arange(self.n_bins, device=near.device) + 0.5)
        origins = bodies.to_posed(rays.origins, rays.frames)
        directions = bodies.directions_to_posed(rays.directions, rays.frames)
        points = origins[:, None] + directions[:, None] * centers[..., None]
        inside = shell.contains(points, rays.frames) & (far > near)[:, None]
        return self.spread(inside.float(), near, width, jitter)

    def spread(
        self, inside: Float[Tensor, "N B"], near: Float[Tensor, "N"], width: Float[Tensor, "N"], jitter: bool
    ) -> Samples:
        """Places the samples at even steps of the length inside the shell."""
        through = inside.cumsum(1)  # bins inside, up to and with each one
        total = through[:, -1:]
        step = torch.arange(self.n_samples, device=near.device).expand(len(near), -1)
        offset = torch.rand(step.shape, device=near.device) if jitter else 0.5
        target = (step + offset) / self.n_samples * total
        bin_index = torch.searchsorted(through, target, right=True).clamp_max(self.n_bins - 1)
        within = target - (through.gather(1, bin_index) - inside.gather(1, bin_index))
        t = near[:, None] + (bin_index + within.clamp(0, 1)) * width[:, None]
        delta = (total * width[:, None] / self.n_samples).expand_as(t)
        return Samples(t, delta, (total > 0).expand_as(t))

    @staticmethod
    def span(rays: Rays, bodies: PosedBodies, shell: Shell) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """Where each ray enters and leaves the shell's box (m along the ray); far < near where it misses."""
        origins = bodies.to_posed(rays.origins, rays.frames)
        directions = bodies.directions_to_posed(rays.directions, rays.frames)
        low, high = shell.bounds()
        return box.intersect(origins, directions, low[rays.frames], high[rays.frames])
