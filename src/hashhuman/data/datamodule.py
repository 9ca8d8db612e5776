"""The Lightning data module of a subject: its pixels lie on the training device, where rays are drawn."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import lightning as L
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.utils.data import DataLoader

from hashhuman.body.template import BodyPose
from hashhuman.data import lip, pixel_cache
from hashhuman.data.agreement import refuse_contradiction
from hashhuman.data.batch import RayBatch
from hashhuman.data.damage import refuse_damage
from hashhuman.data.error_map import ErrorMap
from hashhuman.data.outlines import Outlines
from hashhuman.data.pixel_cache import PixelCache
from hashhuman.data.pixels import Crops, PixelStore, TrainingPicture
from hashhuman.data.ray_sampler import RaySampler
from hashhuman.data.shelf import Shelf
from hashhuman.data.splits import SPLITS, split
from hashhuman.data.subject import Picture, Subject
from hashhuman.errors import UserError
from hashhuman.geometry.camera import Camera
from hashhuman.io import threads

log = logging.getLogger(__name__)

T = TypeVar("T")
# Draws a batch. The arguments: a multiple of the usual number of rays, and whether there shall be patches.
Draw = Callable[[float, bool], RayBatch]


@dataclasses.dataclass(frozen=True)
class View:
    """A whole picture at training size, for validation and evaluation."""

    name: str  # CC/FFFFFF: camera and frame
    image: Float[Tensor, "H W 3"]  # the person on black, RGB in [0, 1]
    mask: Float[Tensor, "H W"]  # the person's coverage, in [0, 1]
    camera: Camera
    pose: BodyPose
    frame: int | None  # position among the training frames; None if the frame is not one of them
    number: int  # of the frame in the subject


class SubjectDataModule(L.LightningDataModule):
    """Reads a subject folder, and yields batches of rays for training and views for validation.

    Args:
        root: the subject folder.
        smpl_meta, masks: see `Subject`.
        train_cameras, train_frames, first_frame, frame_step, holdout_every, test_every, test_frames:
            see `splits.split`.
        max_size: larger pictures are scaled down to this long side (pixels); None keeps their size.
        ray_sampler: draws the batches.
        batches_per_epoch: training steps between two validations.
        val_views: number of pictures that validation renders, evenly spaced over the novel poses; if there are none,
            over the novel views, the held-out frames or the training pictures.
        reach: pixels that may show something within this distance (m) of the body are kept.
        cache_mb: MiB of decoded pictures kept in the subject's folder `cache` for the next run; 0 keeps none.
        memory_mb: MiB of pixels kept in memory; the others lie in a file in the subject's folder `cache`, which is gone
            when the run ends. On a GPU, the pixels are on the GPU besides.
        strict: refuse damaged pictures; else they are left out of training and evaluation, with a warning.

    Raises:
        UserError: if the subject folder is malformed or the splits leave nothing to train on.
    """

    def __init__(
        self,
        root: str | Path,
        smpl_meta: str | Path | None,
        train_cameras: list[int],
        train_frames: int | None,
        first_frame: int,
        frame_step: int,
        holdout_every: int,
        test_every: int,
        test_frames: Sequence[int] | None,
        max_size: int | None,
        ray_sampler: RaySampler,
        batches_per_epoch: int,
        val_views: int,
        reach: float,
        cache_mb: int,
        memory_mb: int | float = 4096,
        strict: bool = False,
        masks: str = "mask",
    ) -> None:
        super().__init__()
        self.subject = Subject(root, smpl_meta, masks)
        self.splits: dict[str, list[Picture]] = split(
            self.subject, train_cameras, train_frames, holdout_every, first_frame, frame_step, test_every, test_frames
        )
        self.max_size, self.reach, self.strict = max_size, reach, strict
        self.ray_sampler, self.batches_per_epoch, self.val_views = ray_sampler, batches_per_epoch, val_views
        self.train_frames = sorted({picture.frame for picture in self.splits["train"]})
        self.cache = PixelCache(self.subject.root / "cache", cache_mb)
        self.shelf = Shelf(memory_mb, self.subject.root / "cache")
        self.store: PixelStore | None = None
        self._crops: tuple[Crops, list[Picture]] | None = None

    @property
    def train_poses(self) -> list[BodyPose]:
        """The poses of the training frames. `Rays.frames` of a batch are positions in this list."""
        return [self.subject.pose(frame) for frame in self.train_frames]

    @property
    def device(self) -> torch.device:
        """The training device; the CPU without a Trainer."""
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def setup(self, stage: str) -> None:
        """Moves the training pictures to the training device.

        Raises UserError if the bodies do not lie on the masks.
        """
        if stage == "fit" and self.store is None:
            crops, pictures = self.crops()
            refuse_contradiction(self.subject, pictures)
            self.store = PixelStore.of(crops, *self._views_of(pictures), self.device, self.shelf)

    def crops(self) -> tuple[Crops, list[Picture]]:
        """The cropped training pictures, from the cache, or decoded on all cores; and which pictures these are.

        They are kept, since training and carving both need them. Damaged pictures are left out, unless `strict`.
        Raises UserError if more than `damage.DAMAGED` of all are.
        """
        if self._crops is None:
            self._crops = self._read_crops()
        return self._crops

    def _read_crops(self) -> tuple[Crops, list[Picture]]:
        pictures = self.splits["train"]
        settings = {"format": 2, "reach": self.reach, "max_size": self.max_size, "parts": lip.PART_CLASSES}
        key = pixel_cache.stamp(self.subject.sources(pictures), **settings)
        if (crops := self.cache.get(key)) is not None:
            return Crops.join([crops], self.shelf), pictures
        self.subject.template()  # cached before the threads start, so that not every thread reads it
        damaged: dict[Picture, UserError] = {}

        def whole() -> Iterator[Crops]:
            for picture, each in zip(pictures, threads.ordered(self._cut, pictures)):
                if isinstance(each, Crops):
                    yield each
                else:
                    damaged[picture] = each

        crops = Crops.join(whole(), self.shelf)
        refuse_damage(list(damaged.values()), len(pictures), "training pictures")
        if damaged:  # not kept for the next run, which shall warn as well
            why = next(iter(damaged.values()))
            log.warning("%d of %d training pictures are left out: %s", len(damaged), len(pictures), why)
            return crops, [picture for picture in pictures if picture not in damaged]
        self.cache.put(key, crops)
        return crops, pictures

    def _cut(self, picture: Picture) -> Crops | UserError:
        """A cropped training picture; what is wrong with it if it is damaged. Raises that instead if `strict`."""
        return self._or_damage(lambda: Crops.cut(self.training_picture(picture), self.reach))

    def outlines(self, most: int, device: torch.device | str) -> Outlines:
        """The person's outlines in at most `most` training pictures, evenly spaced."""
        crops, pictures = self.crops()
        return Outlines.of(crops, *self._views_of(pictures), most, device)

    def _views_of(self, pictures: Sequence[Picture]) -> tuple[list[Camera], list[int]]:
        """Each training picture's camera, and its frame's position among the training frames."""
        cameras = [self.camera(picture) for picture in pictures]
        return cameras, [self.train_frames.index(picture.frame) for picture in pictures]

    def training_picture(self, picture: Picture) -> TrainingPicture:
        """A picture at training size, with its mask, part labels and body."""
        image, mask = self.masked(picture)
        return TrainingPicture(
            color=np.rint(image * 255).astype(np.uint8),
            mask=np.rint(mask * 255).astype(np.uint8),
            camera=self.camera(picture),
            frame=self.train_frames.index(picture.frame),
            vertices=torch.from_numpy(self.subject.vertices(picture.frame)),
            parts=self.parts(picture),
        )

    def masked(self, picture: Picture) -> tuple[Float[np.ndarray, "H W 3"], Float[np.ndarray, "H W"]]:
        """A picture at training size, RGB in [0, 1], with the person on black; and the person's coverage in [0, 1].

        Some folders hold whole photographs. In others the person is already on black, and a second multiplication by
        the mask would darken the outline. The mean colour outside the mask tells the two apart; it need not be zero,
        since JPEG leaves ripples around a person on black. Of photographs with a plate, what the plate shows through
        the outline is taken away (`unmix`).
        """
        image = self.subject.image(picture).astype(np.float32) / 255
        mask = self.subject.mask(picture)
        outside = image[mask == 0]
        photograph = outside.size > 0 and outside.mean() > 0.02
        plate = self.subject.plate(picture.camera) if photograph else None
        if plate is not None:
            image = unmix(image, mask, *plate)
        else:
            image = image * (mask if photograph else mask > 0)[..., None]
        return self.resize(image), self.resize(mask)

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """Scales a picture (H, W) or (H, W, C) down to training size, with antialiasing."""
        height, width = picture.shape[:2]
        scale = self.scale(height, width)
        if scale == 1:
            return picture
        size = (round(height * scale), round(width * scale))
        channels_first = torch.from_numpy(picture.reshape(height, width, -1)).permute(2, 0, 1)[None]
        scaled = torch.nn.functional.interpolate(channels_first, size, mode="bilinear", antialias=True)
        return scaled[0].permute(1, 2, 0).reshape(*size, *picture.shape[2:]).numpy()

    def scale(self, height: int, width: int) -> float:
        """The factor, at most 1, from the size of a picture (pixels) to training size."""
        return 1.0 if self.max_size is None else min(1.0, self.max_size / max(height, width))

    def parts(self, picture: Picture) -> np.ndarray | None:
        """Each pixel's part (position in `lip.PART_CLASSES`; 255: none) at training size; None without part labels."""
        if picture.parts is None:
            return None
        table = np.full(256, 255, np.uint8)
        for index, classes in enumerate(lip.PART_CLASSES.values()):
            table[list(classes)] = index
        labels = table[self.subject.parts(picture)]
        camera = self.camera(picture)
        return cv2.resize(labels, (camera.width, camera.height), interpolation=cv2.INTER_NEAREST_EXACT)

    def camera(self, picture: Picture) -> Camera:
        """The picture's camera, at training size."""
        camera = self.subject.camera(picture.camera)
        scale = self.scale(camera.height, camera.width)
        return camera if scale == 1 else camera.scaled(scale)

    def view(self, picture: Picture) -> View:
        """A whole picture at training size, with its camera and pose, on the CPU."""
        image, mask = self.masked(picture)
        frame = self.train_frames.index(picture.frame) if picture.frame in self.train_frames else None
        name = f"{self.subject.camera_names[picture.camera]}/{picture.frame:06d}"
        image, mask = torch.from_numpy(image).clamp(0, 1), torch.from_numpy(mask).clamp(0, 1)
        return View(name, image, mask, self.camera(picture), self.subject.pose(picture.frame), frame, picture.frame)

    def view_or_damage(self, picture: Picture) -> View | UserError:
        """`view`, or what is wrong with a damaged picture. Raises that instead if `strict`."""
        return self._or_damage(lambda: self.view(picture))

    def _or_damage(self, read: Callable[[], T]) -> T | UserError:
        """What `read` returns, or raises unless `strict`."""
        try:
            return read()
        except UserError as error:
            if self.strict:
                raise
            return error

    def train_dataloader(self) -> DataLoader:
        """Yields functions that draw a batch, not batches, so that the step itself can draw them on the device.

        Lightning asks for it at the beginning of every epoch. A training that goes on within an epoch gets its rest.
        """
        if self.store is None:
            raise RuntimeError("setup('fit') must come before train_dataloader()")
        sampler = self.ray_sampler.share(self.trainer.world_size if self.trainer else 1)
        draw = functools.partial(sampler.draw, self.store)
        done = self.trainer.global_step % self.batches_per_epoch if self.trainer else 0  # of a continued epoch
        return DataLoader([draw] * (self.batches_per_epoch - done), batch_size=None)  # type: ignore[arg-type]

    @property
    def error_map(self) -> ErrorMap | None:
        """Learns where the training pictures are shown worst; None if no rays are drawn by that."""
        return self.ray_sampler.error_map

    def observe(self, batch: RayBatch, errors: Float[Tensor, "N"]) -> None:
        """Tells the error map the colour errors of a batch's rays. Can be captured in a CUDA graph."""
        if self.error_map is not None and self.store is not None and batch.pixels is not None:
            self.error_map.observe(self.store, batch.pixels, errors)

    def after_step(self, step: int) -> None:
        """Updates the error map when it is due."""
        if self.error_map is not None:
            self.error_map.after_step(step)

    def state_dict(self) -> dict[str, Tensor]:
        """What checkpoints keep of the data: the error map."""
        return {} if self.error_map is None else self.error_map.state_dict()

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Goes on with the error map of a checkpoint."""
        if self.error_map is not None:
            self.error_map.load_state_dict(state_dict)

    def val_dataloader(self) -> DataLoader:
        """Yields `val_views` views; see the class."""
        return DataLoader(self._val_views, batch_size=None)  # type: ignore[arg-type]

    @functools.cached_property
    def _val_views(self) -> list[View]:
        unseen = next((self.splits[name] for name in SPLITS[:0:-1] if self.splits[name]), self.splits["train"])
        count = min(self.val_views, len(unseen))
        chosen = [unseen[int((i + 0.5) * len(unseen) / count)] for i in range(count)]
        views = [self.view_or_damage(picture) for picture in chosen]
        return [view for view in views if isinstance(view, View)]

    def transfer_batch_to_device(self, batch: Draw | View, device: torch.device, dataloader_idx: int) -> Draw | View:
        """Returns the batch as it is: rays are drawn on the device, and views move there when they are rendered."""
        return batch


def unmix(
    image: Float[np.ndarray, "H W 3"],
    mask: Float[np.ndarray, "H W"],
    plate: UInt8[np.ndarray, "H W 3"],
    known: Bool[np.ndarray, "H W"],
) -> Float[np.ndarray, "H W 3"]:
    """The person on black, RGB in [0, 1]: alpha F of the matting equation C = alpha F + (1 - alpha) B.

    Args:
        image: C, RGB in [0, 1].
        mask: alpha, the person's coverage in [0, 1].
        plate: B, 8-bit RGB.
        known: where B is known. Elsewhere F is taken to be C.
    """
    alpha = mask[..., None]
    unmixed = (image - (1 - alpha) * plate.astype(np.float32) / 255).clip(0, alpha)
    return np.where(known[..., None], unmixed, alpha * image)
