"""Samples lie in the shell around the body, evenly."""

import torch

from hashhuman.deformer.bodies import Shell
from hashhuman.renderer.shell_sampler import ShellSampler
from hashhuman.renderer.volume import Rays
from tests import toy
from tests.hashhuman import small

REACH, VOXEL = 0.25, 0.03  # the toy has points at its corners only
INSIDE = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]])


def picture_rays(frame: int = 1) -> Rays:
    """A camera's rays: some through the body, some past it, some past its box."""
    x, y = torch.meshgrid(torch.arange(-24, 72, 2.0), torch.arange(-24, 72, 2.0), indexing="xy")
    origins, directions = toy.camera(0).rays(torch.stack([x, y], -1).flatten(0, 1))
    return Rays(origins.clone(), directions, torch.full((len(origins),), frame))


def test_by_hand():
    # Bins of 0.5 m from 2 m on: the shell covers 2.5 to 3.5 and 4 to 4.5.
    near, width = torch.tensor([2.0]), torch.tensor([0.5])
    three = ShellSampler(3, 6).spread(INSIDE, near, width, jitter=False)
    torch.testing.assert_close(three.t, torch.tensor([[2.75, 3.25, 4.25]]))
    torch.testing.assert_close(three.delta, torch.full((1, 3), 0.5))
    two = ShellSampler(2, 6).spread(INSIDE, near, width, jitter=False)
    torch.testing.assert_close(two.t, torch.tensor([[2.875, 4.125]]))
    torch.testing.assert_close(two.delta, torch.full((1, 2), 0.75))
    assert two.valid.all()


def test_jitter_is_stratified_and_fills_the_shell():
    torch.manual_seed(0)
    near, width = torch.full((4000,), 2.0), torch.full((4000,), 0.5)
    samples = ShellSampler(2, 6).spread(INSIDE.expand(4000, 6), near, width, jitter=True)
    first, second = samples.t.unbind(1)
    # The length inside, 1.5 m, is cut in halves: 2.5 to 3.25, and 3.25 to 3.5 with 4 to 4.5.
    assert (first >= 2.5).all() and (first <= 3.25).all()
    assert (((second >= 3.25) & (second <= 3.5)) | ((second >= 4) & (second <= 4.5))).all()
    edges = torch.linspace(2.5, 3.25, 7)
    assert (torch.histogram(first, edges).hist - 4000 / 6).abs().max() < 120  # five deviations
    assert abs((second < 3.6).float().mean() - 1 / 3) < 0.04


def test_samples_lie_in_the_shell_and_cover_it():
    bodies, rays = small.bodies(), picture_rays()
    shell = Shell.around(bodies.vertices, REACH, VOXEL)
    sampler = ShellSampler(64, 256)
    near, far = sampler.span(rays, bodies, shell)
    samples = sampler(rays, bodies, shell, jitter=True)
    hit = samples.valid[:, 0]
    assert 0.1 < hit.float().mean() < 0.9 and (samples.valid == hit[:, None]).all()
    assert (samples.t[hit].diff(dim=1) >= 0).all()
    # Within half a bin of a place in the shell.
    half_bin = ((far - near) / 256 / 2)[:, None, None]
    tried = samples.t[..., None] + half_bin * torch.linspace(-1, 1, 9)
    origins = bodies.to_posed(rays.origins, rays.frames)
    directions = bodies.directions_to_posed(rays.directions, rays.frames)
    points = origins[:, None] + directions[:, None] * tried.flatten(1)[..., None]
    inside = shell.contains(points, rays.frames).unflatten(1, (64, 9))
    assert inside[hit].any(-1).all()
    # What the samples stand for adds up to the length inside, measured ten times as finely.
    fine = torch.linspace(0, 1, 2561)[None] * (far - near).clamp_min(0)[:, None] + near[:, None]
    points = origins[:, None] + directions[:, None] * fine[..., None]
    length = shell.contains(points, rays.frames).float().mean(1) * (far - near)
    torch.testing.assert_close(samples.delta.sum(1)[hit], length[hit], atol=0.05, rtol=0)
    assert abs(samples.delta.sum(1)[hit].mean() - length[hit].mean()) < 1e-3


def test_rays_that_pass_the_body_get_no_sample():
    bodies, rays = small.bodies(), picture_rays()
    shell = Shell.around(bodies.vertices, REACH, VOXEL)
    samples = ShellSampler(8, 256)(rays, bodies, shell, jitter=False)
    along = torch.linspace(1.5, 4.5, 1500)  # every 2 mm
    origins = bodies.to_posed(rays.origins, rays.frames)
    directions = bodies.directions_to_posed(rays.directions, rays.frames)
    points = origins[:, None] + directions[:, None] * along[:, None]
    through = shell.contains(points, rays.frames).sum(1)
    assert not samples.valid[through == 0].any() and (through == 0).any()
    assert samples.valid[through > 20].all() and (through > 20).any()  # 4 cm: longer than a bin


def test_rays_that_start_inside_the_body_see_what_is_ahead():
    bodies = small.bodies()
    shell = Shell.around(bodies.vertices, REACH, VOXEL)
    start = bodies.vertices[0, :1]
    start = start @ bodies.world_from_posed[0, :3, :3].T + bodies.world_from_posed[0, :3, 3]
    rays = Rays(start, torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1, dtype=torch.long))
    samples = ShellSampler(16, 64)(rays, bodies, shell, jitter=False)
    assert samples.valid.all() and (samples.t > 0).all()
