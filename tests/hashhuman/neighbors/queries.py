"""Bodies and query points for the tests of neighbour searches."""

import torch

from tests.hashhuman import small


def toy_body() -> tuple[torch.Tensor, list[torch.Tensor]]:
    return small.bodies().vertices, small.part_points()


def dense_body(n_frames: int = 2) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Random points on two crossing cylinders, millimetres apart as on a real body, so that a voxel contains many."""
    generator = torch.Generator().manual_seed(0)
    angle, along = torch.rand(2, 6000, generator=generator)
    circle = torch.stack([(angle * 2 * torch.pi).cos(), (angle * 2 * torch.pi).sin()], -1) * 0.1
    points = torch.cat([circle, along[:, None] - 0.5], 1)
    points[3000:] = points[3000:].roll(1, 1)
    turned = [points @ torch.linalg.qr(torch.randn(3, 3, generator=generator))[0] for _ in range(n_frames)]
    return torch.stack(turned), [torch.arange(3000), torch.arange(3000, 6000)]


def queries(vertices: torch.Tensor, count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Points up to 9 cm from body points of random frames."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(len(vertices), (count,), generator=generator)
    base = vertices[frames, torch.randint(vertices.shape[1], (count,), generator=generator)]
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return base + direction * 0.09 * torch.rand(count, 1, generator=generator), frames
