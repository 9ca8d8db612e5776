"""`ShellSampler` in loops for the CPU: one pass counts each ray's samples, another one places them."""

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.cpu.loops import array, compiled, in_parallel
from hashhuman.geometry.rays import Rays
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.volume import Samples


@compiled
def _place(
    first, last, rays_o, rays_d, frames, live, world, low, high, occupied, voxel, step, per_bin, n_bins, bins,
    noise, start, write, count, ray_out, t_out,
):  # fmt: skip
    """Counts the samples of rays, or writes them to their places."""
    width, half = np.float32(step * per_bin), np.float32(0.5)
    for ray in range(first, last):
        if not live[ray] or (write and start[ray] == start[ray + 1]):
            continue
        frame = frames[ray]
        pose = world[frame]
        near, far = np.float32(0), np.float32(np.inf)
        p = _turn(pose, rays_o[ray, 0] - pose[0, 3], rays_o[ray, 1] - pose[1, 3], rays_o[ray, 2] - pose[2, 3])
        q = _turn(pose, rays_d[ray, 0], rays_d[ray, 1], rays_d[ray, 2])
        for axis in range(3):
            slope = q[axis] if abs(q[axis]) >= np.float32(1e-9) else np.float32(1e-9)
            enter, leave = (low[frame, axis] - p[axis]) / slope, (high[frame, axis] - p[axis]) / slope
            near, far = max(near, min(enter, leave)), min(far, max(enter, leave))
        px, py, pz = (p[0] - low[frame, 0]) / voxel, (p[1] - low[frame, 1]) / voxel, (p[2] - low[frame, 2]) / voxel
        qx, qy, qz = q[0] / voxel, q[1] / voxel, q[2] / voxel
        passed, placed = 0, start[ray] if write else 0
        for index in range(n_bins):
            if near >= far or (write and placed == start[ray + 1]):
                break
            t = near + width * (np.float32(index) + half)
            if t - width >= far or passed >= bins[0] + bins[1]:
                break
            x, y, z = int(np.floor(px + qx * t)), int(np.floor(py + qy * t)), int(np.floor(pz + qz * t))
            if not (0 <= x < occupied.shape[1] and 0 <= y < occupied.shape[2] and 0 <= z < occupied.shape[3]):
                continue
            if not occupied[frame, x, y, z]:
                continue
            passed += 1
            if passed <= bins[0]:
                continue
            if write:
                for j in range(per_bin):
                    ray_out[placed + j] = ray
                    t_out[placed + j] = near + (np.float32(index * per_bin + j) + noise[placed + j]) * step
            placed += per_bin
        if not write:
            count[ray] = placed


@compiled
def _turn(pose, x, y, z):
    """A vector of the world in posed space: R^T v."""
    return (
        pose[0, 0] * x + pose[1, 0] * y + pose[2, 0] * z,
        pose[0, 1] * x + pose[1, 1] * y + pose[2, 1] * z,
        pose[0, 2] * x + pose[1, 2] * y + pose[2, 2] * z,
    )


def sample(
    rays: Rays,
    bodies: PosedBodies,
    shell: Shell,
    step: float,
    per_bin: int,
    n_bins: int,
    jitter: bool,
    ray_mask: Bool[Tensor, "N"] | None,
    bins: tuple[int, int],
) -> Samples:
    """Samples rays as `ShellSampler` does; see there.

    Args:
        step: distance between samples (m).
        per_bin: samples of a bin.
        n_bins: number of bins of the longest path through the shell's box.
    """
    live = np.ones(len(rays), bool) if ray_mask is None else array(ray_mask, torch.bool)
    geometry = (
        array(rays.rays_o), array(rays.rays_d), array(rays.frames, torch.long), live, array(bodies.world_from_posed),
        array(shell.origin), array(shell.end), array(shell.occupied, torch.bool), np.float32(shell.voxel),
        np.float32(step), per_bin, n_bins, bins,
    )  # fmt: skip
    count = torch.zeros(len(rays), dtype=torch.long)
    nothing, nowhere = np.zeros(0, np.float32), np.zeros(0, np.int64)
    in_parallel(_place, len(rays), *geometry, nothing, nowhere, False, count.numpy(), nowhere, nothing)
    start = torch.nn.functional.pad(count.cumsum(0), (1, 0))
    total = int(start[-1])
    noise = torch.rand(total) if jitter else torch.full((total,), 0.5)
    ray, t = torch.empty(total, dtype=torch.long), torch.empty(total)
    places = array(noise), start.numpy(), True, nowhere, ray.numpy(), t.numpy()
    in_parallel(_place, len(rays), *geometry, *places)
    return Samples(
        ray=ray,
        t=t,
        delta=torch.full_like(t, step),
        start=start,
        complete=torch.ones(len(rays), dtype=torch.bool),
        needed=start[-1:],
    )
