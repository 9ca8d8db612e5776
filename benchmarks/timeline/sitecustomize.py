"""Notes what a Python program does while it runs, by stages of our command; `benchmarks/whole.py` reads it.

Python imports this file at its start if its folder is in PYTHONPATH, so that the program itself is the one that users
run. Every 20 ms a thread looks at the stacks of all threads. The time since its last look belongs to the stage that the
main thread's stack shows, and beside that to each stage that only the stacks of other threads show. Nothing is noted
unless the environment variable HASHHUMAN_TIMELINE names a file for the result.
"""

import atexit
import collections
import functools
import json
import os
import re
import sys
import threading
import time
from types import FrameType

INTERVAL = 0.02  # s
AT_ONCE = 100.0  # s for which a thread keeps Python's lock while it looks at the others
STAGES = "frames|keypoints|body_fit|masks|blend_weights|quality|report"
START, EXIT = "start: Python, Hydra, config", "exit"

# Stage, pattern of the file, and of the function. The first rule that a stack meets counts, and in one rule the
# outermost frame. Files are those of today's build and of older ones.
RULES = [
    (name, re.compile(file), re.compile(function))
    for name, file, function in (
        ("imports", r"^<frozen importlib\._bootstrap", r"_find_and_load$"),
        ("downloads", r"hashhuman/(io/)?assets\.py$", "_download$"),
        (r"preprocessing: \1", rf"/preprocess/({STAGES})(/.*)?\.py$", ""),
        ("preprocessing: frames", r"/preprocess/video\.py$", "decode|read"),
        ("preprocessing: stamps and the rest", r"/preprocess/(stage|pipeline)\.py$", r"(^|\.)(run|prepare|due|is_)"),
        ("validation", r"lightning/pytorch/loops/evaluation_loop\.py$", ""),
        ("validation", r"hashhuman/training/callbacks/validation_pictures\.py$", ""),
        ("turntable", r"hashhuman/evaluation/turntable\.py$", "make"),
        ("canonical sheet", r"hashhuman/evaluation/canonical_sheet\.py$", "make"),
        ("canonical sheet", r"hashhuman/export\.py$", r"CanonicalSheet\.__call__"),
        ("turntable", r"hashhuman/export\.py$", r"Turntable\.__call__"),
        ("evaluation", r"hashhuman/(evaluation/evaluator|evaluation)\.py$", ""),
        ("training", r"lightning/pytorch/loops/training_epoch_loop\.py$", "advance"),
        ("set-up", r"hashhuman/(training/)?run\.py$", ""),
    )
]


@functools.cache
def rule_of(path: str, called: str) -> tuple[int, str] | None:
    """The number of the rule that a function of a file meets, and its stage; None if it meets none."""
    for number, (name, file, function) in enumerate(RULES):
        match = file.search(path)
        if match and function.search(called):
            return number, match.expand(name)
    return None


def stage_of(frame: FrameType | None) -> str | None:
    """The stage of a thread whose innermost frame is given; None if it works on none."""
    best = None
    while frame is not None:
        rule = rule_of(frame.f_code.co_filename, frame.f_code.co_qualname)
        if rule is not None and (best is None or rule[0] <= best[0]):  # outer frames come later
            best = rule
        frame = frame.f_back
    return best and best[1]


def stages(main: int | None) -> tuple[str | None, set[str]]:
    """The stage of the main thread, and those of all other threads.

    No other thread runs meanwhile. The frames that are looked at keep all their variables alive: if a thread went on
    and captured a CUDA graph, an autograd graph of its step before could still be there, on whose stream the new
    gradients would be summed, which invalidates the capture.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(AT_ONCE)
    try:
        frames = sys._current_frames()
        here = stage_of(frames.pop(main, None))  # type: ignore[arg-type]
        others = {stage_of(frame) for frame in frames.values()}
        del frames
    finally:
        sys.setswitchinterval(interval)
    return here, {name for name in others if name is not None}


def reserved() -> float | None:
    """The most memory of the GPU that PyTorch kept for this program (MiB); None without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_reserved() / 2**20


class Timeline:
    """Looks at all threads, and adds up seconds by the clock and of computing for each stage."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.main, self.worked = threading.main_thread().ident, False
        self.seconds: dict[str, list[float]] = collections.defaultdict(lambda: [0.0, 0.0, 0.0])
        self.last = time.time(), time.process_time()
        self.first_step: float | None = None  # when training was seen first (s since the epoch)

    def look(self) -> None:
        """Adds the time since the last look. Columns: the clock, computing, and the clock of other threads alone."""
        now = time.time(), time.process_time()
        wall, computed = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now
        here, others = stages(self.main)
        if here == "training" and not self.worked:
            self.worked, self.first_step = True, now[0]
        row = self.seconds[here or (EXIT if self.worked else START)]
        row[0], row[1] = row[0] + wall, row[1] + computed
        for name in others - {here}:
            self.seconds[name][2] += wall

    def save(self) -> None:
        """Writes the sums; what follows is the exit of the interpreter."""
        self.look()
        with open(self.path, "w", encoding="utf-8") as file:
            noted = {"until": self.last[0], "seconds": self.seconds, "first_step": self.first_step}
            json.dump(noted | {"reserved_mib": reserved()}, file)

    def watch(self) -> None:
        """Looks again and again; runs in a thread of its own."""
        while True:
            time.sleep(INTERVAL)
            self.look()


if _path := os.environ.pop("HASHHUMAN_TIMELINE", None):  # processes that the program starts are not watched
    _timeline = Timeline(_path)
    atexit.register(_timeline.save)
    threading.Thread(target=_timeline.watch, name="timeline", daemon=True).start()
