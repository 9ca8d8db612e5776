"""An exported page's pictures of an avatar beside the field's own; `export_viewers.py` prints the table."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashhuman.export.motion import captured_frames
from hashhuman.io.files import write_image

FINER = 2  # times as many pixels along a side, each drawn from several samples: outlines are averages over a pixel


def compared(page: Any, name: str, avatar: Any, datamodule: Any, motion: Any, index: Any, folder: Path | None) -> None:
    """Prints a row for each of some frames, from the camera that filmed them.

    IoU of the outlines, where opacity passes one half, and PSNR over the pixels within both of them.

    Args:
        page: the exported page in a browser.
        name: the run's.
        avatar: the run's.
        datamodule: the run's.
        motion: the filmed one.
        index: positions in it.
        folder: where pictures are written: filmed, field and page side by side; None: nowhere.
    """
    frames = captured_frames(datamodule)
    pictures = {p.frame: p for split in ("heldout", "train") for p in datamodule.splits[split]}
    for i in index:
        view = datamodule.view(pictures[frames[i]])
        with torch.no_grad():
            field = avatar.render_image(view.camera, view.pose, view.frame)
        shown = page_picture(page, view.camera, motion, float(motion.times[i]))
        alpha, cover = field.alpha.numpy(), shown[..., 3]
        own, drawn = (
            (rgb / np.maximum(opacity, 1e-6)[..., None]).clip(0, 1)
            for rgb, opacity in ((field.rgb.numpy(), alpha), (shown[..., :3], cover))
        )
        both, either = (alpha > 0.5) & (cover > 0.5), (alpha > 0.5) | (cover > 0.5)
        psnr = -10 * np.log10(np.square(own - drawn)[both].mean())
        print(f"| {name} | {frames[i]} | {both.sum() / either.sum():.4f} | {psnr:.2f} |", flush=True)
        if folder:
            rows, columns = (slice(lines.min(), lines.max() + 1) for lines in np.nonzero(either))
            sides = [view.image.numpy(), field.rgb.numpy().clip(0, 1), shown[..., :3]]
            sheet = np.concatenate([side[rows, columns] for side in sides], 1)
            write_image(folder / f"{name}_{frames[i]:06d}.png", (255 * sheet).round().astype(np.uint8))


def page_picture(page, camera, motion, moment: float) -> np.ndarray:
    """The page's mesh from a camera of the run: premultiplied RGB and opacity, H x W x 4 in [0, 1]."""
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = camera.R.numpy(), camera.T.numpy()
    view = np.diag([1.0, -1, -1, 1]) @ world @ np.linalg.inv(motion.exported_from_world)  # OpenGL: y up, z backward
    (fx, _, cx), (_, fy, cy) = camera.K[:2].double().numpy()
    w, h, near, far = camera.width, camera.height, 0.05, 100.0
    projection = [
        [2 * fx / w, 0, 1 - 2 * (cx + 0.5) / w, 0],
        [0, 2 * fy / h, 2 * (cy + 0.5) / h - 1, 0],
        [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
        [0, 0, -1, 0],
    ]
    encoded = page.evaluate(
        """([w, h, projection, view, moment]) => {
            const v = viewer, old = v.scene.background;
            v.playing = false; v.setTime(moment); v.scene.background = null;
            v.ground.visible = v.bones.visible = false;
            v.renderer.setPixelRatio(1); v.renderer.setSize(w, h, false); v.renderer.setClearColor(0, 0);
            const camera = v.camera.clone();
            camera.matrixWorldInverse.fromArray(view); camera.matrixWorld.copy(camera.matrixWorldInverse).invert();
            camera.matrixAutoUpdate = camera.matrixWorldAutoUpdate = false;
            camera.projectionMatrix.fromArray(projection);
            camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
            camera.updateMatrixWorld = () => {};
            v.renderer.render(v.scene, camera);
            const gl = v.renderer.getContext(), pixels = new Uint8Array(w * h * 4);
            gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            let text = '';
            for (let i = 0; i < pixels.length; i += 8192)
                text += String.fromCharCode.apply(null, pixels.subarray(i, i + 8192));
            v.scene.background = old; v.ground.visible = true;
            return btoa(text);
        }""",
        [FINER * w, FINER * h, np.array(projection).T.ravel().tolist(), view.T.ravel().tolist(), moment],
    )
    fine = np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(h, FINER, w, FINER, 4)[::-1, ::-1]
    return fine.mean((1, 3)) / 255
