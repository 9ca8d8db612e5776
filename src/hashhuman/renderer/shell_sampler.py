"""Samples rays only inside the shell around the posed body."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.errors import UserError
from hashhuman.geometry import box
from hashhuman.geometry.rays import Rays
from hashhuman.gpu.backend import chosen, looped
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.volume import Samples

ALL_BINS = (0, 1 << 20)  # more bins than any ray has


class ShellSampler:
    """Divides each ray's path through the body's box into bins, and samples the bins that lie in the shell evenly.

    Args:
        step: distance between samples (m).
        per_bin: samples of a bin. A bin lies in the shell if its midpoint does.
        kernels: auto, triton, numba or torch.
    """

    def __init__(self, step: float, per_bin: int, kernels: str = "auto") -> None:
        self.step, self.per_bin, self.kernels = step, per_bin, kernels

    @torch.no_grad()
    def __call__(
        self,
        rays: Rays,
        bodies: PosedBodies,
        shell: Shell,
        jitter: bool,
        capacity: int | None = None,
        ray_mask: Bool[Tensor, "N"] | None = None,
        bins: tuple[int, int] = ALL_BINS,
    ) -> Samples:
        """Samples rays. The positions of the samples have no gradient.

        Args:
            rays: world frame.
            jitter: True: stratified random samples; False: midpoints.
            capacity: number of samples to reserve (Triton only); None: as many as there are.
            ray_mask: which rays to sample; None: all.
            bins: which of a ray's bins in the shell to sample: index of the first one, from 0, and their number.

        Raises:
            UserError: for a capacity without Triton's kernels.
        """
        if chosen(self.kernels, rays.rays_o.device):
            from hashhuman.renderer import shell_sampler_kernels

            return shell_sampler_kernels.sample(
                rays, bodies, shell, self.step, self.per_bin, self.n_bins(shell), jitter, capacity, ray_mask, bins
            )
        if capacity is not None:
            raise UserError("step=graph needs Triton's kernels, kernels=auto or triton: use step=eager")
        if looped(self.kernels, rays.rays_o.device):
            from hashhuman.renderer import shell_sampler_loops

            return shell_sampler_loops.sample(
                rays, bodies, shell, self.step, self.per_bin, self.n_bins(shell), jitter, ray_mask, bins
            )
        near, far = self.span(rays, bodies, shell)
        meets = near < far if ray_mask is None else ray_mask & (near < far)
        met = meets.nonzero()[:, 0]
        inside = self.inside(rays[met], near[met], far[met], bodies, shell)
        rank = inside.cumsum(1)  # 1 for a ray's first bin in the shell
        inside &= (rank > bins[0]) & (rank <= bins[0] + bins[1])
        row, index = inside.nonzero().unbind(1)
        ray = met[row]
        offset = torch.arange(self.per_bin, device=near.device).expand(len(ray), -1)
        offset = offset + (torch.rand(offset.shape, device=near.device) if jitter else 0.5)
        t = near[ray, None] + (index[:, None] * self.per_bin + offset) * self.step
        count = torch.zeros(len(rays), dtype=torch.long, device=near.device).index_copy(0, met, inside.sum(1))
        start = torch.nn.functional.pad((count * self.per_bin).cumsum(0), (1, 0))
        return Samples(
            ray=ray.repeat_interleave(self.per_bin),
            t=t.flatten(),
            delta=torch.full_like(t, self.step).flatten(),
            start=start,
            complete=torch.ones_like(near, dtype=torch.bool),
            needed=start[-1:],
        )

    def n_bins(self, shell: Shell) -> int:
        """Number of bins of the longest path through the shell's box (B)."""
        return math.ceil(shell.diagonal / (self.step * self.per_bin))

    def inside(
        self, rays: Rays, near: Float[Tensor, "N"], far: Float[Tensor, "N"], bodies: PosedBodies, shell: Shell
    ) -> Bool[Tensor, "N B"]:
        """Which of the bins between `near` and `far` (m along the rays) lie in the shell."""
        width = self.step * self.per_bin
        centers = near[:, None] + width * (torch.arange(self.n_bins(shell), device=near.device) + 0.5)
        origins = bodies.to_posed(rays.rays_o, rays.frames)
        directions = bodies.directions_to_posed(rays.rays_d, rays.frames)
        points = origins[:, None] + directions[:, None] * centers[..., None]
        return shell.contains(points, rays.frames) & (centers - width < far[:, None])

    @staticmethod
    def span(rays: Rays, bodies: PosedBodies, shell: Shell) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
        """Where each ray enters and leaves the shell's box (m along the ray); far < near where it misses."""
        origins = bodies.to_posed(rays.rays_o, rays.frames)
        directions = bodies.directions_to_posed(rays.rays_d, rays.frames)
        low, high = shell.bounds()
        return box.intersect(origins, directions, low[rays.frames], high[rays.frames])
