"""The columns of metrics that a page names first, and how it calls them."""

import pytest

from hashhuman.evaluation.metrics.protocols import LegacyNVR, PeopleSnapshot, Strict
from hashhuman.report.figures import headline, readable


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("psnr_box", "PSNR in the person's box, dB"),
        ("psnr_fg", "PSNR on the person alone, dB"),
        ("psnr", "PSNR, dB"),
        ("ssim_full", "SSIM of the whole picture"),
        ("lpips_alex_box", "LPIPS (alex) in the person's box"),
        ("lpips_vgg", "LPIPS (vgg)"),
        ("normals", "normals"),
        ("mask_iou", "mask_iou"),
    ],
)
def test_columns_in_words(column: str, words: str):
    assert readable(column) == words


def test_the_box_comes_first():
    """As in README.md. The other protocols have one region."""
    values = dict.fromkeys(Strict(None).columns, 1.0) | {"psnr_box_fitted": 1.0, "lpips_vgg_full": 1.0}
    assert headline(values) == ["psnr_box", "ssim_box", "lpips_vgg_full"]
    assert headline(values | {"psnr_box": None}) == ["psnr_fg", "ssim_box", "lpips_vgg_full"]
    for protocol in (LegacyNVR(None), PeopleSnapshot(None)):
        assert headline(dict.fromkeys(protocol.columns, 1.0)) == ["psnr", "ssim"]
