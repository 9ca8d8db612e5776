"""The sampler: samples lie evenly in the shell around the body."""

import torch

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.geometry.rays import Rays
from hashhuman.renderer.shell import Shell
from hashhuman.renderer.shell_sampler import ShellSampler
from tests import toy
from tests.hashhuman import small

REACH, VOXEL, STEP = 0.2, 0.03, 0.01  # the toy has points at its corners only


def picture_rays() -> Rays:
    """A camera's rays: some through the body, some past it, some past its box; of all three frames."""
    x, y = torch.meshgrid(torch.arange(-24, 72, 3.0), torch.arange(-24, 72, 3.0), indexing="xy")
    rays_o, rays_d = toy.camera(0).rays(torch.stack([x, y], -1).flatten(0, 1))
    return Rays(rays_o.clone(), rays_d, torch.arange(len(rays_o)) % 3)


def setting() -> tuple[PosedBodies, Shell]:
    bodies = small.bodies()
    return bodies, Shell.around(bodies.vertices, REACH, VOXEL)


def one_body_at_rest() -> PosedBodies:
    """A body for which posed space is the world, so that the geometry can be computed by hand."""
    still = toy.pose(0)
    zero = torch.zeros(3)
    return PosedBodies.from_poses(toy.template(), [type(still)(0 * still.body_pose, zero, zero)], torch.tensor([0]))


def test_by_hand():
    """A ray along x enters a box of 1 m at 2 m; the second and fourth quarter of it are marked."""
    occupied = torch.zeros(1, 4, 1, 1, dtype=torch.bool)
    occupied[0, [1, 3]] = True
    shell = Shell(torch.zeros(1, 3), torch.tensor([[1.0, 0.25, 0.25]]), 0.25, occupied, torch.tensor([4, 1, 1]))
    rays_o = torch.tensor([[-2.0, 0.1, 0.1], [-2.0, 0.3, 0.1], [0.6, 0.1, 0.1]])
    rays = Rays(rays_o, torch.eye(3)[:1].expand(3, 3), torch.zeros(3, dtype=torch.long))
    samples = ShellSampler(0.05, 5, "torch")(rays, one_body_at_rest(), shell, jitter=False)
    # The second ray misses; the third starts within the box: its bins are those from 0.6 to 0.85 and to 1.1 m, whose
    # middles, 0.725 and 0.975, lie in the third and the fourth quarter.
    quarter = torch.tensor([0.025, 0.075, 0.125, 0.175, 0.225])
    torch.testing.assert_close(samples.t, torch.cat([2.25 + quarter, 2.75 + quarter, 0.25 + quarter]))
    assert samples.ray.tolist() == [0] * 10 + [2] * 5 and samples.start.tolist() == [0, 10, 10, 15]
    assert (samples.delta == 0.05).all() and samples.complete.all() and samples.needed == 15


def test_samples_are_packed_ray_by_ray_from_near_to_far():
    bodies, shell = setting()
    rays = picture_rays()
    samples = ShellSampler(STEP, 4, "torch")(rays, bodies, shell, jitter=True)
    count = samples.start.diff()
    torch.testing.assert_close(samples.ray, torch.arange(len(rays)).repeat_interleave(count))
    assert samples.start[0] == 0 and samples.start[-1] == len(samples.t) == samples.needed
    same = samples.ray[1:] == samples.ray[:-1]
    assert (samples.t.diff()[same] > 0).all()
    assert (count % 4 == 0).all() and 0.1 < (count > 0).float().mean() < 0.9


def test_jitter_is_stratified():
    """Samples are uniform around their midpoints, and independent of each other."""
    bodies, shell = setting()
    sampler, rays = ShellSampler(STEP, 4, "torch"), picture_rays()
    middle = sampler(rays, bodies, shell, jitter=False)
    torch.manual_seed(0)
    jittered = sampler(rays, bodies, shell, jitter=True)
    assert torch.equal(jittered.ray, middle.ray)
    off = (jittered.t - middle.t) / STEP
    count = len(off)
    assert count > 5000 and off.abs().max() <= 0.5 + 1e-4
    histogram = torch.histogram(off, torch.linspace(-0.5, 0.5, 11)).hist
    assert (histogram - count / 10).abs().max() < 5 * (0.09 * count) ** 0.5
    alike = torch.corrcoef(off.view(-1, 4).T) - torch.eye(4)  # between the samples of a bin
    assert alike.abs().max() < 5 * (4 / count) ** 0.5


def test_samples_lie_in_the_shell_and_cover_it():
    bodies, shell = setting()
    rays, per_bin = picture_rays(), 2
    samples = ShellSampler(STEP, per_bin, "torch")(rays, bodies, shell, jitter=True)
    rays_o = bodies.to_posed(rays.rays_o, rays.frames)
    rays_d = bodies.directions_to_posed(rays.rays_d, rays.frames)
    # Each sample is at most half a bin away from the shell.
    tried = samples.t[:, None] + per_bin * STEP / 2 * torch.linspace(-1, 1, 9)
    points = rays_o[samples.ray, None] + rays_d[samples.ray, None] * tried[..., None]
    assert shell.contains(points, rays.frames[samples.ray]).any(1).all()
    # The samples' lengths add up to the length inside the shell, measured every millimetre.
    along = torch.arange(1.5, 4.5, 0.001)
    points = rays_o[:, None] + rays_d[:, None] * along[:, None]
    length = torch.cat([shell.contains(p, f).sum(1) for p, f in zip(points.split(64), rays.frames.split(64))]) * 0.001
    sampled = torch.zeros(len(rays)).index_add(0, samples.ray, samples.delta)
    assert (length == 0).any() and length.max() > 0.5
    # At each border of the shell, the error is less than the length of a bin, 2 cm.
    torch.testing.assert_close(sampled, length, atol=0.05, rtol=0)
    assert abs(sampled.mean() - length.mean()) < 2e-3
    assert (sampled[length > 0.02 + 0.002] > 0).all()


def test_consecutive_bin_ranges_cover_all_samples():
    """For every other ray, the first three bins in the shell and the remaining bins give all samples together."""
    bodies, shell = setting()
    sampler, rays = ShellSampler(STEP, 4, "torch"), picture_rays()
    everything = sampler(rays, bodies, shell, jitter=False)
    ray_mask = torch.arange(len(rays)) % 2 == 0
    front = sampler(rays, bodies, shell, False, ray_mask=ray_mask, bins=(0, 3))
    back = sampler(rays, bodies, shell, False, ray_mask=ray_mask, bins=(3, 1000))
    for ray in range(len(rays)):
        mine, first, rest = (x.t[x.start[ray] : x.start[ray + 1]] for x in (everything, front, back))
        assert torch.equal(first, mine[:12] if ray_mask[ray] else mine[:0])
        assert torch.equal(rest, mine[12:] if ray_mask[ray] else mine[:0])
    assert len(front.t) > 500 and len(back.t) > 500 and torch.equal(front.ray, front.ray.sort().values)


def test_rays_that_start_inside_the_body_are_sampled_ahead():
    bodies, shell = setting()
    start = bodies.to_world(bodies.vertices[0, :1], torch.zeros(1, dtype=torch.long))
    rays = Rays(start, torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1, dtype=torch.long))
    samples = ShellSampler(STEP, 4, "torch")(rays, bodies, shell, jitter=False)
    assert len(samples.t) > 10 and (samples.t > 0).all() and samples.t[0] < 0.04


def test_an_empty_shell():
    bodies, shell = setting()
    shell.occupied.zero_()
    rays = picture_rays()
    samples = ShellSampler(STEP, 4, "torch")(rays, bodies, shell, jitter=True)
    assert len(samples.t) == 0 and (samples.start == 0).all() and samples.complete.all()
