"""Metric protocols: which metrics are computed, over which region and data range. Published tables differ in these."""

import dataclasses
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from hashhuman.evaluation.metrics.image import bounding_box, halo, mask_iou, psnr, ssim
from hashhuman.evaluation.metrics.lpips import LPIPS
from hashhuman.geometry.camera import Camera


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A rendered picture and the true one, both on black, on one device."""

    rgb: Float[Tensor, "H W 3"]  # rendered, in [0, 1]
    alpha: Float[Tensor, "H W"]  # rendered opacity in [0, 1]
    truth: Float[Tensor, "H W 3"]  # in [0, 1], multiples of 1/255
    mask: Float[Tensor, "H W"]  # true coverage in [0, 1]
    camera: Camera
    vertices: Float[Tensor, "V 3"]  # the body in the world (m)


@runtime_checkable
class MetricProtocol(Protocol):
    """Computes named metrics of one picture."""

    name: str  # name of its file in conf/metrics, and of the folder of its evaluations

    @property
    def columns(self) -> dict[str, str]:
        """Column -> description of the metric with its region and data range."""
        ...

    def __call__(self, comparison: Comparison) -> dict[str, float]:
        """The metrics of one picture: column -> value."""
        ...

    def to(self, device: torch.device | str) -> "MetricProtocol":
        """Moves its networks to a device and returns itself."""
        ...


def to_8bit(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Values as an 8-bit file stores them: clamped to [0, 1] and rounded to multiples of 1/255."""
    return (x.clamp(0, 1) * 255).round() / 255


class WithLpips(nn.Module):
    """A protocol with a network for LPIPS, or with none; then its columns are left out."""

    def __init__(self, lpips: LPIPS | None) -> None:
        super().__init__()
        self.lpips = lpips


class Strict(WithLpips):
    """Metrics with data range 1 and explicit regions, of the rendered picture rounded to 8 bits.

    All regions come from the true mask. `full` is the whole picture, with a black background in both pictures. `box` is
    the bounding box of all pixels with coverage above 0, with a margin of 10 pixels. `fg` is all pixels that are at
    least half covered (> 127 of 255).

    PSNR is computed from the mean squared error over the region's pixels and channels. SSIM is scikit-image's default
    (uniform 7 x 7 window, sample covariance) at data range 1. LPIPS gets pictures mapped from [0, 1] to [-1, 1], and
    regions below 32 pixels are padded with black. `mask_iou` compares alpha and mask, both with a threshold of 0.5.
    `halo` is the mean alpha over all pixels farther than 5 pixels from `fg`. The names of LPIPS columns contain the
    network, since the distances of different networks cannot be compared.

    Args:
        lpips: the network; None leaves its columns out.
    """

    name = "strict"

    @property
    def columns(self) -> dict[str, str]:
        """What each figure is: measure, region and range."""
        columns = {
            "psnr_full": "PSNR in dB, whole picture on black, data range 1",
            "psnr_box": "PSNR in dB, the true mask's box and 10 px around it, data range 1",
            "psnr_fg": "PSNR in dB, true mask only, data range 1",
            "ssim_full": "SSIM, whole picture, uniform 7x7 window, data range 1",
            "ssim_box": "SSIM, the true mask's box and 10 px around it, uniform 7x7 window, data range 1",
            "mask_iou": "intersection over union of alpha and true mask, both cut at half",
            "halo": "mean alpha more than 5 px outside the true mask",
        }
        if self.lpips is not None:
            net = self.lpips.net
            columns[f"lpips_{net}_full"] = f"LPIPS ({net}), whole picture, input mapped to [-1, 1]"
            columns[f"lpips_{net}_box"] = f"LPIPS ({net}), the box, input mapped to [-1, 1]"
        return columns

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> dict[str, float]:
        """The figures of one picture. Raises ValueError when the true mask is empty."""
        rgb, truth = to_8bit(comparison.rgb), comparison.truth
        alpha = to_8bit(comparison.alpha)
        fg = comparison.mask > 127.5 / 255
        box = bounding_box(comparison.mask > 0, margin=10)
        figures = {
            "psnr_full": psnr(rgb, truth),
            "psnr_box": psnr(rgb[box], truth[box]),
            "psnr_fg": psnr(rgb[fg], truth[fg]),
            "ssim_full": ssim(rgb, truth),
            "ssim_box": ssim(rgb[box], truth[box]),
            "mask_iou": mask_iou(alpha > 127.5 / 255, fg),
            "halo": halo(comparison.alpha, fg),
        }
        if self.lpips is not None:
            name = f"lpips_{self.lpips.net}"
            figures[f"{name}_full"] = float(self.lpips(*(2 * _batch(x) - 1 for x in (rgb, truth))))
            figures[f"{name}_box"] = float(self.lpips(*(2 * _batch(x[box]) - 1 for x in (rgb, truth))))
        return figures


class LegacyNVR(WithLpips):
    """Metrics as instant-nvr's evaluator computes them. They cannot be compared with those of `Strict`.

    Both pictures are set to black where a pixel's ray misses the body's box: the box of the posed vertices along the
    world's axes, 5 cm wider on each side. The rendered colours are not rounded to 8 bits.

    With `whole_picture` (instant-nvr's `test_full: True`, the default of all published configurations) the metrics are
    computed over the whole picture, including its black parts. Without it, as in instant-nvr's predecessors, PSNR is
    computed over the rays that hit the box, SSIM over the bounding rectangle of these rays, and LPIPS not at all.

    SSIM has data range 2. instant-nvr calls it on floats without a range, and scikit-image 0.19 then assumes [-1, 1]
    (later versions raise an error). This makes SSIM too high. LPIPS uses VGG and gets pictures in [0, 1], although the
    network expects [-1, 1].

    Args:
        lpips: the network; None leaves its column out.
        whole_picture: the region, see above.
        box_padding: margin of the body's box (m).
    """

    name = "legacy_nvr"

    def __init__(self, lpips: LPIPS | None, whole_picture: bool = True, box_padding: float = 0.05):
        super().__init__(lpips)
        self.whole_picture = whole_picture
        self.box_padding = box_padding

    @property
    def columns(self) -> dict[str, str]:
        """What each figure is: measure, region and range."""
        region = "whole picture, black outside the projected 3D box"
        psnr_region = region if self.whole_picture else "pixels of the projected 3D box"
        ssim_region = region if self.whole_picture else "bounding rectangle of the projected 3D box"
        columns = {
            "psnr": f"PSNR in dB, {psnr_region}, data range 1",
            "ssim": f"SSIM, {ssim_region}, uniform 7x7 window, data range 2 (scikit-image 0.19's guess)",
        }
        if self.lpips is not None and self.whole_picture:
            columns[f"lpips_{self.lpips.net}"] = f"LPIPS ({self.lpips.net}), {region}, input left in [0, 1]"
        return columns

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> dict[str, float]:
        """The figures of one picture."""
        at_box = mask_at_box(comparison.camera, comparison.vertices, self.box_padding)
        rgb, truth = comparison.rgb * at_box[..., None], comparison.truth * at_box[..., None]
        if not self.whole_picture:
            rectangle = bounding_box(at_box)
            return {
                "psnr": psnr(rgb[at_box], truth[at_box]),
                "ssim": ssim(rgb[rectangle], truth[rectangle], data_range=2.0),
            }
        figures = {"psnr": psnr(rgb, truth), "ssim": ssim(rgb, truth, data_range=2.0)}
        if self.lpips is not None:
            figures[f"lpips_{self.lpips.net}"] = float(self.lpips(_batch(rgb), _batch(truth)))
        return figures


class PeopleSnapshot(WithLpips):
    """Metrics as tables on PeopleSnapshot give them since InstantAvatar (Jiang et al. 2023): whole pictures on white.

    SSIM has the Gaussian window of its paper and data range 1. LPIPS gets pictures in [0, 1], although the network
    expects [-1, 1], since the published figures do. The rendered picture is not rounded to 8 bits. The tables are made
    from pictures of 540 x 540 pixels (`data.max_size=540`). Many of them fit the poses to the test pictures first.

    Args:
        lpips: the network, AlexNet in these tables; None leaves its column out.
    """

    name = "people_snapshot"

    @property
    def columns(self) -> dict[str, str]:
        """What each figure is: measure, region and range."""
        columns = {
            "psnr": "PSNR in dB, whole picture on white, data range 1",
            "ssim": "SSIM, whole picture on white, Gaussian window, data range 1",
        }
        if self.lpips is not None:
            columns[f"lpips_{self.lpips.net}"] = f"LPIPS ({self.lpips.net}), whole picture on white, input in [0, 1]"
        return columns

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> dict[str, float]:
        """The figures of one picture."""
        rgb = (comparison.rgb + (1 - comparison.alpha)[..., None]).clamp(0, 1)
        truth = (comparison.truth + (1 - comparison.mask)[..., None]).clamp(0, 1)
        figures = {"psnr": psnr(rgb, truth), "ssim": ssim(rgb, truth, gaussian=True)}
        if self.lpips is not None:
            figures[f"lpips_{self.lpips.net}"] = float(self.lpips(_batch(rgb), _batch(truth)))
        return figures


def mask_at_box(camera: Camera, vertices: Float[Tensor, "V 3"], padding: float) -> Bool[Tensor, "H W"]:
    """The pixels whose rays hit the bounding box of world vertices (m), which is `padding` (m) wider on each side."""
    y, x = torch.meshgrid(
        torch.arange(camera.height, device=vertices.device, dtype=torch.float32),
        torch.arange(camera.width, device=vertices.device, dtype=torch.float32),
        indexing="ij",
    )
    rays_o, rays_d = camera.rays(torch.stack([x, y], -1))
    rays_d = torch.where(rays_d.abs() < 1e-5, 1e-5, rays_d)  # avoids a division by zero
    t = torch.stack([vertices.amin(0) - padding - rays_o, vertices.amax(0) + padding - rays_o]) / rays_d
    near, far = t.amin(0).amax(-1), t.amax(0).amin(-1)
    return near < far


def _batch(image: Float[Tensor, "H W 3"]) -> Float[Tensor, "1 3 h w"]:
    height, width = image.shape[:2]
    return functional.pad(image.movedim(-1, 0)[None], (0, max(32 - width, 0), 0, max(32 - height, 0)))
