"""A table of the allowed ranges of numeric options, and the check of a composed config against it.

A key of the table matches all options whose key ends with it: `lr` matches every learning rate, and `frames.step` only
that of one group. `*` matches one part of a key. If several keys match, the longest one decides. So an option keeps its
range if it moves to another place in the config. A test walks all of `conf/` and fails for a number without a range.

Options of a `_target_` outside this project and the packages that it configures are not looked at: an extension may
call something `limit` or `start` that means something else, and checks its own numbers in its constructor.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hashhuman.errors import UserError


@dataclasses.dataclass(frozen=True)
class Range:
    """The allowed values of an option.

    Args:
        why: what the number means, in a few words, for the message.
        low: the least number.
        high: the greatest number.
        whole: whether the number must be an integer.
        above: whether `low` itself is excluded.
        null: whether the option may be null.
        words: texts that are allowed instead of a number.
    """

    why: str
    low: int | float = -math.inf
    high: int | float = math.inf
    whole: bool = False
    above: bool = False
    null: bool = False
    words: tuple[str, ...] = ()

    def admits(self, value: Any) -> bool:
        """Whether the value is allowed."""
        if value is None:
            return self.null
        if isinstance(value, str):
            return value in self.words
        if not is_number(value) or not math.isfinite(value):
            return False
        if self.whole and value != int(value):
            return False
        return (value > self.low if self.above else value >= self.low) and value <= self.high

    @property
    def sentence(self) -> str:
        """Describes the allowed values, for example "a whole number from 1 to 24"."""
        kind = "a whole number" if self.whole else "a number"
        if self.high < math.inf:
            bounds = f" above {self.low:g} and at most {self.high:g}" if self.above else self._closed
        elif self.low > -math.inf:
            bounds = f" above {self.low:g}" if self.above else f" of at least {self.low:g}"
        else:
            bounds = ""
        return " or ".join([f"{kind}{bounds}", *self.words, *(["null"] if self.null else [])])

    @property
    def _closed(self) -> str:
        low, high = (int(x) if x == int(x) else x for x in (self.low, self.high))
        return f" from {low} to {high}"


def is_number(value: Any) -> bool:
    """Whether a value is an integer or a float, but not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def count(
    why: str, low: int = 1, high: int | float = math.inf, null: bool = False, words: tuple[str, ...] = ()
) -> Range:
    """The range of a whole number, at least 1 by default."""
    return Range(why, low, high, whole=True, null=null, words=words)


def positive(why: str, null: bool = False) -> Range:
    """The range of numbers above zero."""
    return Range(why, 0, above=True, null=null)


def at_least_zero(why: str, null: bool = False) -> Range:
    """The range of zero and positive numbers."""
    return Range(why, 0, null=null)


def share(why: str) -> Range:
    """The range from 0 to 1."""
    return Range(why, 0, 1)


DRAWN = ("keypoints", "detector", "body_fit", "fit", "masks", "stage", "clip")  # what draws or checks some pictures
RANGES: dict[str, Range] = {
    # training
    "seed": count("the seed of the random numbers", 0, 2**32 - 1),
    "budget_s": positive("seconds of training", null=True),
    "max_seconds": positive("seconds of training", null=True),
    "max_steps": count("training steps"),
    "max_epochs": count("epochs; -1: no limit", -1),
    "nominal_steps": count("training steps"),
    "total_steps": count("training steps"),
    "warmup_steps": count("training steps", 0),
    "full_steps": count("training steps"),
    "decay_steps": count("training steps"),
    "final": share("the final share of the learning rate"),
    "gamma": Range("the factor of the learning rate", 0, 1, above=True),
    "lr": positive("the learning rate"),
    "betas.*": share("a decay rate of Adam's moments"),
    "eps": positive("Adam's addition to the denominator"),
    "devices": count("processes or GPUs", words=("auto",)),
    "devices.*": count("a GPU's number", 0),
    "num_sanity_val_steps": count("pictures validated before training; -1: all", -1),
    "check_val_every_n_epoch": count("epochs between validations"),
    "log_every": count("steps between two lines of the log"),
    "log_every_n_steps": count("steps between two lines of the log"),
    "flush_logs_every_n_steps": count("steps between two writes of the log"),
    "refresh_every": count("steps between two updates of the progress line"),
    "every_s": positive("seconds between two checkpoints", null=True),
    "every_steps": count("steps between two checkpoints", null=True),
    "reload_dataloaders_every_n_epochs": count("epochs between two requests for the batches; 0: one request", 0),
    "step_threads.count": count("threads"),
    "first_sampler.steps": count("training steps with the first sampler"),
    "prune_after": count("steps before empty space is no longer sampled", null=True),
    "prune_every": count("steps between two prunings of empty space"),
    "carve.pictures": count("training pictures that vote"),
    "carve.views": count("training pictures that decide what was filmed"),
    "least_views": count("training pictures that must show a place"),
    "read_after": count("steps before the surface is read off the field", 0),
    "read_every": count("steps between two readings of the surface"),
    "begin_steps": count("steps that begin the field as the body", 0),
    "carving.share": share("the share of the pictures that have a place outside the outline"),
    "carving.least": count("pictures that have a place outside the outline"),
    "carving.margin": at_least_zero("pixels from the outline"),
    "carving.slack": at_least_zero("metres above the clothes"),
    "per_part": count("places drawn for each part"),
    "seen": at_least_zero("the factor over what pictures show"),
    "clearance": at_least_zero("metres above the surface"),
    "length": positive("metres of the field"),
    "measured_steps": count("steps that measure sizes before the capture"),
    "first_revision": count("captured steps before the number of rays is adapted"),
    "weight": at_least_zero("the weight of a loss"),
    "loss.*.every": count("steps between two computations of a loss"),
    "completion_every": count("steps between two computations of loss.completion"),
    "loss.*.start": share("the share of the training before which a loss is not computed"),
    "transl_lr": positive("the learning rate of translations"),
    "start_step": count("steps before poses are refined", 0),
    "stop_step": count("the step from which on poses stay; null: never", 0, null=True),
    "table.refresh_every": count("steps between two checks of how far bodies have moved"),
    "drift": positive("metres"),
    "pose.rays": count("single rays a step"),
    "pose.steps": count("steps of experiment=fast"),
    "tremble": positive("metres per squared frame"),
    "blur.first": positive("frames"),
    "blur.last": positive("frames"),
    "blur.steps": count("steps until gradients are blurred least"),
    "smoothness_weight": at_least_zero("the weight of the joints' accelerations"),
    "distance_weight": at_least_zero("the weight of the distance from the fit"),
    "pose_smoothness.lever": positive("metres"),
    "pose_distance.transl": at_least_zero("the weight of a metre against a radian"),
    "data_range.*": Range("an end of the range of the pictures' values"),
    # data
    "train_cameras.*": count("a camera's number", 0),
    "train_frames": count("training frames", null=True),
    "first_frame": count("a frame's position", 0),
    "frame_step": count("every n-th frame"),
    "holdout_every": count("every n-th frame is held out; 0: none", 0),
    "test_every": count("every n-th frame"),
    "test_frames.*": count("a frame's number", 0),
    "max_size": count("the long side of pictures in pixels", 16, null=True),
    "n_rays": count("rays of a step"),
    "shares.*": at_least_zero("a share of the rays"),
    "error_map.tile": count("the side of a tile in pixels"),
    "error_map.every": count("steps between two updates of the error map"),
    "error_map.rate": share("how far an update goes"),
    "n_patches": count("patches of a step", 0),
    "patch_size": count("the side of a patch in pixels"),
    "batches_per_epoch": count("training steps between two validations"),
    "val_views": count("pictures that validation renders", 0),
    "cache_mb": at_least_zero("MiB of pictures kept for the next run; 0: none"),
    "memory_mb": at_least_zero("MiB of pixels kept in memory"),
    "source.n_frames": count("frames of the scene"),
    "source.n_novel": count("frames with new poses", 0),
    "source.n_cameras": count("cameras of the scene"),
    "source.size": count("the side of the pictures in pixels", 16),
    # encoder, network and field
    "n_levels": count("levels of a hash grid", 1, 32),
    "features_per_level": count("features of a grid's entry", 1, 32),
    "log2_hashmap_size": count("the base-2 logarithm of the entries of a hash table", 1, 24),
    "base_resolution": count("cells along a side of the coarsest level"),
    "per_level_scale": Range("the ratio of cells in successive levels", 1),
    "coarsest_voxel": positive("metres"),
    "finest_voxel": positive("metres"),
    "grid.log2_hashmap_size": count("the same for one part; null: as the encoder says", 1, 24, null=True),
    "grid.coarsest_voxel": positive("metres; null: as the encoder says", null=True),
    "grid.finest_voxel": positive("metres; null: as the encoder says", null=True),
    "width": count("neurons of a layer"),
    "hidden": count("neurons of a layer"),
    "density_scale": positive("a factor of density"),
    "brightest": positive("the greatest colour of a surface in a light of 1"),
    "steepest": share("the sine of the greatest angle by which normals are bent"),
    "frequencies": count("frequencies of the view direction"),
    # deformer, neighbors and renderer
    "reach": positive("metres"),
    "depth": at_least_zero("metres"),
    "smoothness": positive("metres over which blend weights are smoothed"),
    "limit": positive("metres"),
    "neighborhood": positive("metres"),
    "voxel": positive("metres"),
    "shell_voxel": positive("metres"),
    "k": count("nearest points"),
    "max_points": count("points of the body"),
    "sampler.step": positive("metres between samples"),
    "per_bin": count("samples of a bin"),
    "occupancy.resolution": count("cells along a side", 2, 1024),
    "occupancy.threshold": at_least_zero("density in 1/m"),
    "occupancy.decay": share("the factor of a stored density at each update"),
    "chunk": count("rays rendered at a time"),
    "front_bins": count("bins of a ray"),
    # evaluation
    "most": count("pictures of each split", null=True),
    "pose_fit.steps": count("steps of the fit of a picture's pose"),
    "comparisons.pictures": count("side-by-side pictures of each split", 0, words=("all",)),
    "report.pictures": count("pictures with sliders of each split", 0, words=("all",)),
    "megabytes": at_least_zero("MB that a page may have"),
    "images.pictures": count("pictures of each split to save", 0, words=("all",)),
    "box_padding": at_least_zero("metres"),
    "views": count("pictures around the body"),
    "fps": count("pictures a second"),
    "turntable.height": count("the height of the video in pixels", 16),
    "turntable.frame": count("a frame's number", 0, null=True),
    "turntable.background": share("the brightness of the background"),
    "canonical.height": count("the height of the sheet in pixels", 16),
    "canonical.background": share("the brightness of the background"),
    # export
    "faces": count("the most triangles of the mesh", 100),
    "surface.margin": positive("metres outside the body"),
    "surface.core": at_least_zero("metres inside the body"),
    "surface.smooth": at_least_zero("the blur of the density in voxels"),
    "surface.level": positive("a density in 1/m; null: found", null=True),
    "texel": positive("the side of a texel in metres"),
    "baking.views": count("training frames from whose pictures the texture is taken"),
    "baking.turned": count("pictures of the turned body", 0),
    "baking.faint": positive("how much a turned picture counts beside a filmed one"),
    "baking.margin": at_least_zero("metres of a picture around the body"),
    "baking.tolerance": positive("metres behind the nearest surface"),
    "rigging.neighbors": count("body vertices from which weights are taken", 2),
    "bvh.scale": positive("units of the file in a metre"),
    "formats.*.frame": count("a position in the motion; null: at rest", 0, null=True),
    "export.fps": positive("frames per second"),
    # animate
    "exporter.fps": positive("frames per second"),
    "motion_fps": positive("frames per second; null: as the file states", null=True),
    "animate.start": at_least_zero("seconds left out at the beginning"),
    "animate.stop": positive("seconds of the motion; null: its end", null=True),
    "animate.background": share("the brightness of the background"),
    "retargeting.rest": count("a frame's position; null: found", 0, null=True),
    "ground.still": at_least_zero("metres per second"),
    "ground.low": positive("metres above the lowest place"),
    "ground.least": at_least_zero("seconds"),
    "ground.fade": positive("seconds"),
    "camera.height": count("the height of the pictures in pixels", 16, null=True),
    "camera.turns": Range("rounds around the person"),
    "camera.azimuth": Range("degrees beside the front"),
    "camera.camera": count("a camera's number", 0),
    # the doctor's forecast
    "forecast.network_s": positive("seconds a picture"),
    "forecast.picture_s": positive("seconds a picture"),
    "forecast.cpu_s": positive("seconds"),
    "forecast.gpu_s": positive("seconds"),
    # view
    "port": count("a port; 0: any that is free", 0, 65535),
    "view.fps": positive("frames per second"),
    "live_viewer.fps": positive("frames per second"),
    "live_viewer.share": Range("the share of the training time for pictures", 0, 1, above=True),
    "mesh.colors": count("the most colours of the mesh", 1, 256),
    "progressive.first_s": positive("seconds"),
    "progressive.piece_s": positive("seconds"),
    "progressive.growth": Range("how many times larger the next picture is", 1.1, 16),
    "progressive.least": count("pixels", 8),
    "progressive.most": count("pixels", 8, 4096),
    "progressive.margin": at_least_zero("metres outside the body"),
    "progressive.background": share("the brightness of the background"),
    # preprocessing
    "start": count("the first picture", 0),
    "stop": count("the picture after the last", null=True),
    "frames.step": count("every n-th picture"),
    "easymocap.step": count("every n-th picture"),
    "frames.unit": positive("metres in the calibration's unit"),
    "dataset.first_pose": count("the row of the first pose", 0),
    "dataset.splits.*.*.*": count("a picture's number, or a step", 0),
    "frames.offsets.*": count("pictures left out at the beginning", 0),
    "focal": positive("pixels", null=True),
    **{f"{stage}.pictures": count("pictures to draw or check") for stage in DRAWN},  # `callbacks.pictures` is a node
    "score": share("the least confidence"),
    "every": count("every n-th picture"),
    "smoothing": at_least_zero("a standard deviation in pictures"),
    "least_frames": count("pictures with the person", 0),
    "least_fraction": share("the share of pictures with the person"),
    "stages.*.steps": count("steps of the fit"),
    "stages.*.blur": at_least_zero("frames"),
    "weights.*": at_least_zero("the weight of a term"),
    "free.*": positive("the learning rate of a parameter"),
    "surface": count("vertices that represent the skin"),
    "source.step": count("every n-th picture"),
    "source.offset": Range("seconds of the motion before the video begins"),
    "gpu": count("a GPU's number", 0, null=True),
    "margin": at_least_zero("a share of the person's box"),
    "scales.*": positive("a factor of the size"),
    "background_pictures": count("pictures of which the background is made"),
    "columns": count("pictures in a row"),
    "row_height": count("pixels", 16),
    "video_height": count("pixels", 16),
    "video_frames": count("pictures of the video"),
    "doctor.*.*.*": at_least_zero("a limit of the doctor", null=True),
    "report.clip.*.*": at_least_zero("a limit of the doctor", null=True),
    "report.fit.*.*": at_least_zero("a limit of the doctor", null=True),
    "bytes_a_pixel": positive("bytes"),
    "tolerance": at_least_zero("degrees"),
}

SWITCHES = ("force", "gate", "plant")  # the last part of their keys
FOLDERS = ("workspace", "run_dir")  # which every run needs


OURS = ("hashhuman", "hydra_plugins", "preprocess", "lightning", "torch")
"""The packages whose options RANGES knows."""


def check_ranges(config: DictConfig) -> None:
    """Raises UserError for the first option with a value that RANGES, SWITCHES or FOLDERS do not allow.

    Options that are interpolations of others are checked last, so that the message names the option that was set.
    """
    found = sorted(_leaves(config), key=lambda leaf: leaf.borrowed)
    for leaf in found:
        _check_kind(leaf)
        allowed = range_of(leaf.key)
        if allowed is not None and not allowed.admits(leaf.value):
            no_number = not is_number(leaf.value) and leaf.value is not None
            fault = "is not a number: it must be" if no_number else "must be"
            value = "null" if leaf.value is None else leaf.value
            raise UserError(f"{leaf.key}={value} {fault} {allowed.sentence} ({allowed.why}).")


def _check_kind(leaf: "Leaf") -> None:
    """Raises UserError for a switch that is neither on nor off, and for a folder that is none."""
    if leaf.key.rpartition(".")[2] in SWITCHES and not isinstance(leaf.value, bool):
        raise UserError(f"{leaf.key}={'null' if leaf.value is None else leaf.value} must be true or false.")
    if leaf.key in FOLDERS and (not isinstance(leaf.value, str) or not leaf.value):
        raise UserError(f"{leaf.key}={'null' if leaf.value is None else leaf.value} must name a folder.")


@functools.cache
def range_of(key: str) -> Range | None:
    """The range of an option; None if the table has none."""
    parts = key.split(".")
    for start in range(len(parts)):  # the longest end first
        end = parts[start:]
        for pattern in _patterns(len(end)):
            if all(p in ("*", q) for p, q in zip(pattern, end)):
                return RANGES[".".join(pattern)]
    return None


@functools.cache
def _patterns(length: int) -> list[list[str]]:
    """The table's keys with `length` parts, those with stars last."""
    patterns = [pattern.split(".") for pattern in RANGES]
    return sorted((p for p in patterns if len(p) == length), key=lambda p: p.count("*"))


@dataclasses.dataclass(frozen=True)
class Leaf:
    """An option without further options below it, or a list in place of a number."""

    key: str
    value: Any
    borrowed: bool  # whether its value is an interpolation of another option


def _is_ours(node: Any, otherwise: bool) -> bool:
    """Whether a node's class is of a known package; `otherwise` for a node that names no class."""
    target = None if isinstance(node, ListConfig) else node.get("_target_")
    return target.partition(".")[0] in OURS if isinstance(target, str) else otherwise


def _leaves(node: Any, key: str = "", ours: bool = True) -> Iterator[Leaf]:
    ours = _is_ours(node, ours)
    for name in range(len(node)) if isinstance(node, ListConfig) else node:
        mine, borrowed = f"{key}.{name}".removeprefix("."), OmegaConf.is_interpolation(node, name)
        try:
            value = node[name]
        except OmegaConfBaseException:  # a missing value, which is reported where it is needed
            continue
        number = isinstance(value, ListConfig) and range_of(mine) and not range_of(f"{mine}.0")
        if not OmegaConf.is_config(value) or number:
            if ours:
                yield Leaf(mine, value, borrowed)
        elif not borrowed:  # else it is looked at where it stands
            yield from _leaves(value, mine, ours)


def leaves(config: DictConfig) -> list[Leaf]:
    """All options of a config that have a value, including null."""
    return list(_leaves(config))
