"""Writes a page that shows the avatar: one file, opened by a double click, that asks nothing of any server.

It holds the GLB and three.js, which is fetched through npm once, in the version that is stated here. The page's own
script and markup lie in `page/`.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hashhuman.export.glb import glb
from hashhuman.io.assets import Asset, Package, fetch_all
from hashhuman.io.files import atomic_path
from hashhuman.page.document import data_url

PAGE = Path(__file__).parent / "page"
THREE = Package("npm", "three", "0.187.0", "MIT")
MODULES = {  # name by which modules import it: path in the package, SHA-256
    "three": ("build/three.module.js", "104f56145899722094556490d787aae0617cc2fc3382f31df02d724ea1aee341"),
    "three.core": ("build/three.core.js", "613e370f76638fdef83926642bf256dc9615684922de1ce1f63a8583e5d78578"),
    "GLTFLoader": (
        "examples/jsm/loaders/GLTFLoader.js",
        "532ac726e120039acbcd6cf54328c57acbf7b438176afaa6951257126d11bff1",
    ),
    "BufferGeometryUtils": (
        "examples/jsm/utils/BufferGeometryUtils.js",
        "7bda2a8ba836b2bcf67cb938d4b9e1bb5d1b1bc616817103ed858c0b58296ce7",
    ),
    "SkeletonUtils": (
        "examples/jsm/utils/SkeletonUtils.js",
        "b1632a703206c3d830de9fcbe515696770d04b71a15ee6b50afa6d2c3298c86f",
    ),
    "OrbitControls": (
        "examples/jsm/controls/OrbitControls.js",
        "e7fca2fe9e7670a828af9b28084669a5909445b7f36f1f26cee9bf8f2961c32c",
    ),
}
LICENSE = Asset(THREE, ("package/LICENSE",), "8b378ebe60e2fe500158cb0ac71cb5e8b7d92953c2abcc63a0eb90499653b5bc")
# Modules in a page have no folder, so that paths relative to it lead nowhere: they become names.
NAMES = {
    "'./three.core.js'": "'three.core'",
    "'../utils/BufferGeometryUtils.js'": "'BufferGeometryUtils'",
    "'../utils/SkeletonUtils.js'": "'SkeletonUtils'",
}


class HtmlFile:
    """`avatar.html`: the avatar to turn, with its motion to play."""

    @staticmethod
    def fetched() -> dict[str, str]:
        """The modules of three.js by name, and its licence as `LICENSE`.

        Raises:
            UserError: if they are not there and npm cannot fetch them.
        """
        assets = [Asset(THREE, (f"package/{path}",), sha256) for path, sha256 in MODULES.values()]
        texts = [path.read_text(encoding="utf-8") for path in fetch_all([*assets, LICENSE])]
        return dict(zip([*MODULES, "LICENSE"], texts))

    def __call__(self, exports: Any, folder: Path) -> Path:
        """Writes the file and returns its path. Raises UserError if three.js cannot be fetched."""
        modules = self.fetched()
        path = folder / "avatar.html"
        with atomic_path(path) as sibling:
            sibling.write_text(page(glb(exports.mesh, [exports.motion]), modules), encoding="utf-8")
        return path


def page(avatar: bytes, modules: Mapping[str, str]) -> str:
    """The content of the page.

    Args:
        avatar: a GLB file.
        modules: three.js, as `HtmlFile.fetched` returns it.
    """
    imports = {name: data_url("text/javascript", _renamed(modules[name]).encode()) for name in MODULES}
    filled = {
        "LICENSE": modules["LICENSE"].strip(),
        "IMPORTS": json.dumps({"imports": imports}),
        "AVATAR": base64.b64encode(avatar).decode(),
        "STYLE": (PAGE / "style.css").read_text(encoding="utf-8"),
        "SCRIPT": (PAGE / "viewer.js").read_text(encoding="utf-8"),
    }
    text = (PAGE / "page.html").read_text(encoding="utf-8")
    for name, value in filled.items():
        assert text.count(f"{{{{{name}}}}}") == 1
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def _renamed(module: str) -> str:
    for path, name in NAMES.items():
        module = module.replace(path, name)
    return module
