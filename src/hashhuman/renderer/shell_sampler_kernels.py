"""`ShellSampler` in Triton: one launch counts each ray's samples, another one places them."""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Bool
from torch import Tensor

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.posed_bodies_kernels import from_body, turn_to_posed
from hashhuman.geometry.rays import Rays
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.volume import Samples

BLOCK = 128  # rays of a program


@triton.jit(do_not_specialize=["n_rays", "capacity", "first_bin", "most_bins", "size_x", "size_y", "size_z", "n_bins"])
@no_type_check
def _place(
    origins, directions, frames, world, low, high, occupied, noise, near_out, count_out, start, ray_out, t_out,
    ray_mask, n_rays, capacity, first_bin, most_bins, size_x, size_y, size_z, voxel, n_bins, step,
    PER_BIN: tl.constexpr, WRITE: tl.constexpr, JITTER: tl.constexpr, ONLY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = ray < n_rays
    frame = tl.load(frames + ray, mask=live, other=0)
    pose = world + frame * 16
    ox, oy, oz = from_body(pose, origins, ray, live)
    dx = tl.load(directions + ray * 3, mask=live, other=1.0)
    dy = tl.load(directions + ray * 3 + 1, mask=live, other=1.0)
    dz = tl.load(directions + ray * 3 + 2, mask=live, other=1.0)
    px, py, pz = turn_to_posed(pose, ox, oy, oz)
    px -= tl.load(low + frame * 3)  # from here on, relative to the shell's lowest corner
    py -= tl.load(low + frame * 3 + 1)
    pz -= tl.load(low + frame * 3 + 2)
    qx, qy, qz = turn_to_posed(pose, dx, dy, dz)
    sx = tl.where(tl.abs(qx) < 1e-9, 1e-9, qx)
    sy = tl.where(tl.abs(qy) < 1e-9, 1e-9, qy)
    sz = tl.where(tl.abs(qz) < 1e-9, 1e-9, qz)
    ax, bx = -px / sx, (tl.load(high + frame * 3) - tl.load(low + frame * 3) - px) / sx
    ay, by = -py / sy, (tl.load(high + frame * 3 + 1) - tl.load(low + frame * 3 + 1) - py) / sy
    az, bz = -pz / sz, (tl.load(high + frame * 3 + 2) - tl.load(low + frame * 3 + 2) - pz) / sz
    near = tl.maximum(tl.maximum(tl.minimum(ax, bx), tl.minimum(ay, by)), tl.minimum(az, bz))
    near = tl.maximum(near, 0.0)
    far = tl.minimum(tl.minimum(tl.maximum(ax, bx), tl.maximum(ay, by)), tl.maximum(az, bz))
    live = live & (far > near)
    if ONLY:
        live = live & (tl.load(ray_mask + ray, mask=live, other=0) != 0)
    width = step * PER_BIN
    grid = occupied + frame.to(tl.int64) * size_x * size_y * size_z
    passed, count = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.int32)
    if WRITE:
        first = tl.load(start + ray, mask=live, other=0).to(tl.int32)
    deepest = tl.max(tl.where(live, (far - near) / width + 1.0, 0.0))
    last, index = tl.minimum(deepest.to(tl.int32) + 1, n_bins), 0
    while index < last:  # not `for`: Triton's interpreter does not accept a tensor as the end of a range
        t = near + (index + 0.5) * width
        x = tl.floor((px + qx * t) / voxel).to(tl.int32)
        y = tl.floor((py + qy * t) / voxel).to(tl.int32)
        z = tl.floor((pz + qz * t) / voxel).to(tl.int32)
        inside = live & (t - width < far) & (x >= 0) & (y >= 0) & (z >= 0) & (x < size_x) & (y < size_y) & (z < size_z)
        met = tl.load(grid + (x * size_y + y) * size_z + z, mask=inside, other=0) != 0
        hit = met & (passed >= first_bin) & (passed < first_bin + most_bins)
        passed += met.to(tl.int32)
        if WRITE:
            for j in tl.static_range(PER_BIN):
                place = first + count + j
                fits = hit & (place < capacity)
                u = 0.5
                if JITTER:
                    u = tl.load(noise + place, mask=fits, other=0.5)
                tl.store(t_out + place, near + (index * PER_BIN + j + u) * step, mask=fits)
                tl.store(ray_out + place, ray, mask=fits)
        count += tl.where(hit, PER_BIN, 0)
        index += 1
    if not WRITE:
        tl.store(count_out + ray, count, mask=ray < n_rays)


def sample(
    rays: Rays,
    bodies: PosedBodies,
    shell: Shell,
    step: float,
    per_bin: int,
    n_bins: int,
    jitter: bool,
    capacity: int | None,
    ray_mask: Bool[Tensor, "N"] | None,
    bins: tuple[int, int],
) -> Samples:
    """Samples rays as `ShellSampler` does; see there.

    Args:
        step: distance between samples (m).
        per_bin: samples of a bin.
        n_bins: number of bins of the longest path through the shell's box.
        capacity: number of samples to reserve; None: as many as there are, for which the host waits for the device.
    """
    n_rays, device = len(rays), rays.rays_o.device
    sizes = shell.occupied.shape[1:]
    count = torch.empty(n_rays, dtype=torch.int32, device=device)
    grid = (triton.cdiv(n_rays, BLOCK),)
    geometry = (
        rays.rays_o.contiguous(), rays.rays_d.contiguous(), rays.frames.contiguous(), bodies.world_from_posed,
        shell.origin, shell.end, shell.occupied.view(torch.uint8),
    )  # fmt: skip
    numbers = (*sizes, shell.voxel, n_bins, step)

    def launch(noise, start, ray, t, capacity: int, write: bool, random: bool) -> None:
        arguments = [
            *geometry, noise, count, count, start, ray, t, count if ray_mask is None else ray_mask.view(torch.uint8),
            n_rays, capacity, *bins, *numbers,
        ]  # fmt: skip
        _place[grid](
            *arguments, PER_BIN=per_bin, WRITE=write, JITTER=random, ONLY=ray_mask is not None, BLOCK=BLOCK,
        )  # fmt: skip

    launch(count, count, count, count, 0, write=False, random=False)
    start = torch.nn.functional.pad(count.cumsum(0, dtype=torch.int32), (1, 0))
    total = int(start[-1]) if capacity is None else capacity
    ray = torch.zeros(total, dtype=torch.int32, device=device)
    t = torch.zeros(total, device=device)
    noise = torch.rand(total, device=device) if jitter else t
    launch(noise, start, ray, t, total, write=True, random=jitter)
    return Samples(
        ray=ray,
        t=t,
        delta=torch.full_like(t, step),
        start=start.clamp_max(total),
        complete=start[1:] <= total,
        needed=start[-1:],
    )
