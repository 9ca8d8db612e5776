"""Every reader by the name of its option, to tell which one a file is for."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from hashhuman.errors import UserError
from preprocess.body_fit.source.aist import Aist
from preprocess.body_fit.source.amass import Amass
from preprocess.body_fit.source.gem import Gem
from preprocess.body_fit.source.gvhmr import Gvhmr
from preprocess.body_fit.source.hmr2 import Hmr2
from preprocess.body_fit.source.motion import Source
from preprocess.body_fit.source.multihmr_anny import MultiHmrAnny
from preprocess.body_fit.source.npz import Npz
from preprocess.body_fit.source.prompthmr import PromptHmr
from preprocess.body_fit.source.romp import Romp
from preprocess.body_fit.source.sam3d_body import Sam3dBody
from preprocess.body_fit.source.tram import Tram
from preprocess.body_fit.source.wham import Wham

SOURCES: Mapping[str, Callable[[], Source]] = {
    "wham": Wham, "gvhmr": Gvhmr, "gem": Gem, "prompthmr": PromptHmr, "tram": Tram, "sam3d_body": Sam3dBody,
    "multihmr_anny": MultiHmrAnny, "hmr2": Hmr2, "romp": Romp, "amass": Amass, "aist": Aist,
    "npz": Npz,
}  # fmt: skip


def sources_for(path: Path, width: int, height: int) -> list[str]:
    """The options of preprocess/body_fit/source whose readers take a file or folder.

    Args:
        path: the file or folder.
        width, height: of the subject's pictures (pixels).
    """
    taken = []
    for name, make in SOURCES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what readers say of other tools' files is of no use
                make().read(path, width, height)
        except UserError:
            continue
        taken.append(name)
    return taken
