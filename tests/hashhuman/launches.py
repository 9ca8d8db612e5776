"""Prints, as JSON, what kernels the default avatar launches on a subject: `python -m tests.hashhuman.launches SUBJECT`.

`listed`: the number of variants of each kernel in the dry run. `others`: further variants that other sizes launch. It
runs in a separate process, since Triton must not be interpreted here. Nothing is compiled.
"""

import collections
import json
import sys
from concurrent.futures import Future

import torch
from triton import knobs

from benchmarks.compile import avatar_of, pretend_gpu
from hashhuman.avatar.model import HashGridAvatar
from hashhuman.deformer.pairs import Points
from hashhuman.field.occupancy import CellRows
from hashhuman.geometry.rays import Rays
from hashhuman.gpu import precompile
from hashhuman.gpu.capacity import IndexCapacity, RayCapacity
from tests import tiny, toy


def rays(count: int, frames: int) -> Rays:
    """Rays of several bodies."""
    ahead = torch.tensor([[0.0, 0.0, 1.0]]).repeat(count, 1)
    return Rays(torch.zeros_like(ahead), ahead, torch.arange(count) % frames)


def other_sizes(avatar: HashGridAvatar) -> None:
    """A step, a pruning, and a picture, with sizes and alignments of all kinds."""
    cells = avatar.occupancy.resolution**3
    # Rays by whether 16 divides them, rows by how often 2 does; the last of many programs are no multiple of 16.
    for count, sizes in ((33, (128, 384, 256, 128, 2048)), (64, (4096, 128, 128, 1280, 1024)), (1, (128 * 97,) * 5)):
        frames = 1 + count % 3
        poses = [toy.pose(frame) for frame in range(frames)]
        avatar.prepare(poses)
        avatar.measured_scene(poses[:1], capacity=IndexCapacity(1000 * count, (50 + count, 60, 70), 999 + count, sizes))
        scene = avatar.scene(poses)
        capacity = RayCapacity(sum(sizes) + count, sizes)
        seen = avatar.render_rays(rays(count, frames), scene, jitter=True, capacity=capacity).rendering
        (seen.color.square().mean() + (seen.weights * seen.samples.t).sum() + seen.alpha.sum()).backward()
        points = Points(
            torch.zeros(count, 3), torch.zeros(count, 3), torch.arange(count) % frames, torch.tensor([count])
        )
        avatar.skinning(points, scene.bodies, scene.index.neighbors, None, scene.index.cells, sizes)
        index = torch.cat([part * cells + torch.arange(min(size, cells) - 5) for part, size in enumerate(sizes)])
        avatar.occupancy.update(avatar.field, CellRows(index, cells, len(sizes)))
        avatar.eval()
        with torch.no_grad():
            avatar.render_rays(rays(count, 1), scene, capacity=capacity, bins=(0, 3))
            avatar.render_rays(
                rays(count, 1),
                scene,
                capacity=capacity,
                ray_mask=torch.zeros(count, dtype=torch.bool),
                bins=(3, 1 << 20),
            )
        avatar.train()


def main(subject: str) -> None:
    """Warms up, then launches other sizes."""
    pretend_gpu()
    small = [override for override in tiny.SMALL if not override.startswith("experiment=")]
    avatar = avatar_of(["data=zju_mocap", f"data.root={subject}", *small, *tiny.TOY]).cpu()
    state = torch.random.get_rng_state()
    compiler = precompile.Compiler(lambda *arguments: Future())
    knobs.runtime.jit_cache_hook = compiler
    with compiler.dry_run():
        avatar.warm_up()
        listed = list(compiler.begun)
        untouched = torch.equal(state, torch.random.get_rng_state())
        untouched &= all(parameter.grad is None for parameter in avatar.parameters())
        other_sizes(avatar)
    names = [f"{kernel.__module__.rpartition('.')[2]}.{kernel.__name__}" for kernel, _ in compiler.begun]
    found = {"listed": collections.Counter(names[: len(listed)]), "others": names[len(listed) :]}
    print(json.dumps(found | {"untouched": untouched}))


if __name__ == "__main__":
    main(sys.argv[1])
