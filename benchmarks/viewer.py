"""Measures the viewer: frames per second of the mesh while it is dragged, and what viewer=live costs training.

python benchmarks/viewer.py frames RUN [OVERRIDE ...]   needs Chromium and playwright
python benchmarks/viewer.py live [OVERRIDE ...]         trains a short run with and without a tab that looks at it

Chromium draws with the CPU here, so the first figure holds for a machine without a graphics card.
"""

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# Counts the frames in which WebGL draws anything.
COUNTER = """
window.drawn = 0;
let last = -1, frame = 0;
const count = () => { frame += 1; requestAnimationFrame(count); };
requestAnimationFrame(count);
for (const name of ["drawElements", "drawArrays"]) {
  const draw = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...given) {
    if (frame !== last) { last = frame; window.drawn += 1; }
    return draw.apply(this, given);
  };
}
"""
SECONDS, WIDTH, HEIGHT = 5.0, 960, 640


@contextlib.contextmanager
def command(*words: str, said: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """Runs a command until it has printed an address after `said`; yields it with this address."""
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(rf"{said} (http://[^;\s]+)", line):
            threading.Thread(target=repeat, args=(process.stdout,), daemon=True).start()
            try:
                yield process, found[1]
            finally:
                process.terminate()
                process.wait()
            return
    raise SystemExit("".join(lines))


def repeat(output: IO[str]) -> None:
    """Reads what a command prints, so that it never waits for us, and repeats what the viewer took."""
    for line in output:
        if line.startswith("the viewer took"):
            print(line, end="", flush=True)


def frames(run: str, overrides: list[str]) -> None:
    """Drags the mesh in headless Chromium, standing and playing, and prints frames per second."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    shown = command("-m", "hashhuman.view", f"run={run}", "port=0", *overrides, said="is shown at")
    with shown as (_, address), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=OPTIONS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.add_init_script(COUNTER)
        page.goto(address)
        page.get_by_text("the field, ").first.wait_for(timeout=120000)
        print(f"{WIDTH} x {HEIGHT}, {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}")
        print(f"dragging: {dragged(page)}")
        page.get_by_label("play", exact=True).check()
        print(f"dragging while the motion plays: {dragged(page)}")
        browser.close()


def dragged(page) -> str:
    """Frames per second while the mouse turns the camera for some seconds, to and fro; and what a frame costs.

    The latter is the time of all cores, of browser and server together, which other processes on the machine hardly
    change.
    """
    cpu = cpu_seconds()
    page.mouse.move(200, 400)
    page.mouse.down()
    before, began, place = page.evaluate("window.drawn"), time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        place += 1
        page.mouse.move(200 + abs(place % 120 - 60) * 3, 400)
    shown = page.evaluate("window.drawn") - before
    seconds = time.perf_counter() - began
    page.mouse.up()
    cost = (cpu_seconds() - cpu) / max(shown, 1)
    return f"{shown / seconds:.1f} frames/s, {1000 * cost:.0f} ms of a core's time a frame"


def cpu_seconds() -> float:
    """Seconds of CPU that this process's descendants have used so far."""
    parents, used = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            parents[int(entry.parent.name)] = int(fields[1])
            used[int(entry.parent.name)] = int(fields[11]) + int(fields[12])

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return sum(ticks for pid, ticks in used.items() if ours(pid)) / os.sysconf("SC_CLK_TCK")


def live(overrides: list[str]) -> None:
    """Trains with and without viewer=live in turn, and prints the ratio of the seconds that a step takes."""
    nothing = [f"eval.products.{name}=null" for name in ("comparisons", "canonical", "turntable")]
    base = ["train.py", "data=synthetic", "experiment=cpu", "eval.most=1", "metrics.lpips=null", *nothing, *overrides]
    step: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(3):
            for shown in (False, True):
                out = Path(folder) / f"{turn}_{shown}"
                words = [*base, f"workspace={folder}/data", f"run_dir={out}", f"hydra.run.dir={out}"]
                if shown:
                    live_words = [*words, "viewer=live", "callbacks.live_viewer.viewer.port=0"]
                    with command(*live_words, said="training is shown at") as (process, address), looking(address):
                        process.wait()
                else:
                    subprocess.run([sys.executable, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
                timing = json.loads((out / "timing.json").read_text())
                step[shown].append(timing["train_s"] / timing["steps"])
                print(f"{'with a tab' if shown else 'alone':10} {1000 * step[shown][-1]:.1f} ms a step", flush=True)
    alone, seen = statistics.median(step[False]), statistics.median(step[True])
    print(f"median: {1000 * alone:.1f} ms alone, {1000 * seen:.1f} ms with a tab, ratio {seen / alone:.3f}")


@contextlib.contextmanager
def looking(address: str) -> Iterator[None]:
    """A tab without a browser, which would itself take time from training: it tells of its camera, and listens."""
    import msgspec
    import viser
    from websockets.sync.client import connect

    place = address.removeprefix("http://")
    tab = connect(
        f"ws://{place}/", origin=address, subprotocols=[f"viser-v{viser.__version__}"], max_size=None, compression=None
    )  # type: ignore[arg-type]
    camera = {
        "type": "ViewerCameraMessage", "wxyz": (0.0, 0.0, 1.0, 0.0), "position": (0.0, 1.0, 3.0), "fov": 0.8,
        "near": 0.01, "far": 1000.0, "image_height": HEIGHT, "image_width": WIDTH, "look_at": (0.0, 1.0, 0.0),
        "up_direction": (0.0, 1.0, 0.0),
    }  # fmt: skip
    tab.send(msgspec.msgpack.encode(camera))
    got = [0]

    def listen() -> None:
        with contextlib.suppress(Exception):  # the server ends
            while True:
                got[0] += len(tab.recv())

    threading.Thread(target=listen, daemon=True).start()
    yield
    print(f"the tab got {got[0] / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["frames"] and len(sys.argv) >= 3:
        frames(sys.argv[2], sys.argv[3:])
    elif sys.argv[1:2] == ["live"]:
        live(sys.argv[2:])
    else:
        sys.exit(__doc__)
