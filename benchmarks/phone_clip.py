"""The avatar from a phone's clip against the avatar from its plain version: what the container and the coding change.

    python benchmarks/phone_clip.py FOLDER [steps]

Both clips hold the same pictures of the demo recording, as a hand-held phone films it: portrait, and moving. The plain
one is H.264 of standard range (BT.709) at a constant rate. The phone's is 10-bit HEVC of high dynamic range (HLG,
BT.2020), coded lying, with a matrix that stands it up, at a rate that varies. FOLDER keeps clips, subjects and runs;
the table goes to the standard output. A third run, of the plain clip with another seed, tells how far apart two runs
are.
"""

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter1d

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.speed import METRICS_ALONE, surroundings  # noqa: E402
from hashhuman.io.assets import fetch  # noqa: E402
from hashhuman.io.files import load_json, read_rgb  # noqa: E402
from preprocess.frames.decode import DEMO_CAMERA  # noqa: E402
from preprocess.frames.images import image_paths  # noqa: E402
from preprocess.frames.recordings import read_pictures  # noqa: E402

STEP, HEIGHT = 3, 960  # every third picture of the recording, shrunk to so many pixels
SHAKE, TURN = 8.0, 0.6  # pixels and degrees of the hand's motion (standard deviations)
TICKS = 600  # a second, as phones count
TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Linear BT.709 to linear BT.2020 (BT.2087)."""
LUMINANCE = np.array([0.2627, 0.6780, 0.0593])
WHITE = 0.203  # of a display of 1000 cd/m2 (BT.2408)
SAME = 100.0  # dB: the pictures of a clip against themselves differ by rounding alone


def main(folder: Path, steps: int) -> None:
    """Prints the table."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = handheld()
    write_plain(folder / "plain.mp4", pictures)
    write_phone(folder / "phone.mov", pictures)
    rows = {
        "plain": run(folder, "plain.mp4", steps),
        "phone": run(folder, "phone.mov", steps),
        "plain, another seed": run(folder, "plain.mp4", steps, seed=1),
    }
    print("| clip | PSNR in the box, dB | SSIM in the box | mask IoU | pictures against the plain clip's, dB |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        *figures, alike = (f"{value:.3f}" for value in row)
        print(f"| {name} | {' | '.join(figures)} | {'same' if row[-1] > SAME else alike} |")


def handheld() -> list[UInt8[np.ndarray, "H W 3"]]:
    """Pictures of the demo recording, moved as if a hand held the camera (RGB)."""
    read = list(read_pictures(fetch(DEMO_CAMERA), range(0, 10_000, STEP)))
    motion = gaussian_filter1d(np.random.default_rng(0).normal(size=(len(read), 3)), 4.0, axis=0)
    motion, pictures = motion / motion.std(0), []
    for picture, (x, y, turn) in zip(read, motion):
        height, width = picture.image.shape[:2]
        scale = HEIGHT / height
        size = round(width * scale) // 2 * 2, HEIGHT
        small = cv2.resize(picture.image, size, interpolation=cv2.INTER_AREA)
        matrix = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), TURN * turn, 1.06)  # no border is seen
        matrix[:, 2] += SHAKE * x, SHAKE * y
        pictures.append(cv2.warpAffine(small, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT))
    return pictures


def write_plain(path: Path, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> None:
    """H.264, 8 bits, BT.709, thirty pictures a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        _state(stream.codec_context, ColorPrimaries.BT709, ColorTrc.BT709, Colorspace.ITU709)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_phone(path: Path, pictures: Sequence[UInt8[np.ndarray, "H W 3"]]) -> None:
    """HEVC, 10 bits, HLG, lying, with times that vary between 1/30 and 1/20 of a second."""
    gaps = np.random.default_rng(1).integers(TICKS // 30, TICKS // 20, len(pictures))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=30, options={"crf": "12", "x265-params": "log-level=none"})
        lying = np.rot90(pictures[0])
        stream.height, stream.width, stream.pix_fmt = *lying.shape[:2], "yuv420p10le"
        stream.codec_context.codec_tag = "hvc1"
        _state(stream.codec_context, ColorPrimaries.BT2020, ColorTrc.ARIB_STD_B67, Colorspace.BT2020)
        stream.codec_context.time_base = Fraction(1, TICKS)
        for picture, time in zip(pictures, np.cumsum(gaps)):
            frame = coded(hlg(np.ascontiguousarray(np.rot90(picture))))
            frame.pts, frame.time_base = int(time), Fraction(1, TICKS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    stand_up(path)


def _state(context: av.VideoCodecContext, primaries: int, transfer: int, matrix: int) -> None:
    """Writes how colours are coded into the stream, with limited range."""
    context.color_primaries, context.color_trc = primaries, transfer
    context.colorspace, context.color_range = matrix, ColorRange.MPEG


def hlg(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """HLG's signal in [0, 1] (BT.2100, table 5), of what a display of BT.1886 shows for 8-bit RGB of BT.709."""
    display = WHITE * ((np.arange(256) / 255) ** 2.4)[picture] @ TO_2020.T
    scene = display * np.maximum(display @ LUMINANCE, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def coded(signal: Float[np.ndarray, "H W 3"]) -> av.VideoFrame:
    """A signal as Y'CbCr of BT.2020: 10 bits of limited range, a quarter of the colours."""
    luma = signal @ LUMINANCE
    chroma = [(signal[..., 2] - luma) / 1.8814, (signal[..., 0] - luma) / 1.4746]
    quarter = [plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean((1, 3)) for plane in chroma]
    planes = [876 * luma + 64, *(896 * plane + 512 for plane in quarter)]
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], "yuv420p10le")
    for plane, values in zip(frame.planes, planes):
        padded = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        padded[:, : plane.width] = values.round().clip(0, 1023)
        plane.update(padded.tobytes())
    frame.colorspace, frame.color_range = Colorspace.BT2020, ColorRange.MPEG
    frame.color_trc, frame.color_primaries = ColorTrc.ARIB_STD_B67, ColorPrimaries.BT2020
    return frame


def stand_up(path: Path) -> None:
    """Has the header say that pictures are shown a quarter clockwise: the matrix of the track (ISO/IEC 14496-12)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40
    matrix = 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30
    data[start : start + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in matrix)
    path.write_bytes(data)


def run(folder: Path, clip: str, steps: int, seed: int = 0) -> tuple[float, float, float, float]:
    """Trains on a clip; returns means over the held-out pictures, and how alike the decoded pictures are (dB)."""
    name = f"{Path(clip).stem}_{seed}"
    line = [sys.executable, "train.py", f"video='{folder / clip}'", f"workspace='{folder}'", "experiment=cpu"]
    line += [f"run_dir='{folder / name}'", f"seed={seed}", f"trainer.max_steps={steps}", "data.holdout_every=6"]
    line += ["preprocess.gate=false", "eval.splits=[heldout]", "metrics.lpips=null", *METRICS_ALONE]
    subprocess.run(line, check=True, cwd=ROOT, env=surroundings(ROOT), stdout=sys.stderr)
    means = load_json(folder / name / "evaluation" / "metrics.json")["splits"]["heldout"]["mean"]
    mine, plain = (list(image_paths(folder / "subjects" / stem).values()) for stem in (Path(clip).stem, "plain"))
    errors = [np.square(read_rgb(a).astype(float) - read_rgb(b)).mean() for a, b in zip(mine, plain, strict=True)]
    alike = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
    return means["psnr_box"], means["ssim_box"], means["mask_iou"], alike


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
