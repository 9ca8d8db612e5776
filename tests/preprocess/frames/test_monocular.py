"""Pictures out of videos, and the camera that is written beside them."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from rich.progress import Progress

from hashhuman.data.subject import Subject
from hashhuman.errors import UserError
from hashhuman.io.files import load_json, load_npy, read_image, write_image
from preprocess.doctor.clip import recording
from preprocess.frames.decode import decode
from preprocess.frames.images import image_paths
from preprocess.frames.monocular import VideoFrames
from preprocess.frames.video_index import recorded_notes
from preprocess.stage import is_finished, run_stages
from tests.preprocess.clips import damage, grey_levels, packets, turn, write_video

LEVEL = (-4, -4)  # a pixel away from the white corner


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of 64 x 48; the i-th has grey level 30 + 10 i."""
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", grey_levels(10))


def run(stage: VideoFrames, subject: Path) -> list[int]:
    """The grey levels of what the stage wrote."""
    with Progress(disable=True) as progress:
        stage.run(subject, progress)
    return [round((float(read_image(path)[LEVEL].mean()) - 30) / 10) for path in image_paths(subject).values()]


def test_every_picture_in_order(clip: Path, tmp_path: Path) -> None:
    assert run(VideoFrames(str(clip)), tmp_path / "s") == list(range(10))
    assert list(image_paths(tmp_path / "s")) == list(range(10))
    annots = load_npy(tmp_path / "s/annots.npy")
    assert annots["ims"][3]["ims"] == ["images/00/000003.png"]


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"start": 7}, [7, 8, 9]),
        ({"stop": 3}, [0, 1, 2]),
        ({"step": 4}, [0, 4, 8]),
        ({"start": 1, "stop": 8, "step": 3}, [1, 4, 7]),
        ({"start": 8, "stop": 100}, [8, 9]),
    ],
)
def test_range_and_step(clip: Path, tmp_path: Path, options: dict, chosen: list[int]) -> None:
    assert run(VideoFrames(str(clip), **options), tmp_path / "s") == chosen
    meta = load_json(tmp_path / "s/subject.json")["video"]
    assert meta["pictures"] == chosen
    assert meta["seconds"] == pytest.approx([0.04 * i for i in chosen])
    assert list(image_paths(tmp_path / "s")) == list(range(len(chosen)))


def test_variable_rate_keeps_every_picture_and_its_time(tmp_path: Path) -> None:
    ticks = [0, 40, 400, 410, 1000]
    video = write_video(tmp_path / "vfr.mp4", grey_levels(5), ticks)
    assert run(VideoFrames(str(video)), tmp_path / "s") == list(range(5))
    seconds = load_json(tmp_path / "s/subject.json")["video"]["seconds"]
    assert seconds == pytest.approx([t / 1000 for t in ticks], abs=1e-3)


def test_rotation_of_phones_is_undone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "phone.mp4", grey_levels(2))
    turn(video)
    image = next(decode(video)).image
    assert image.shape == (64, 48, 3)
    corners = [int(image[y, x].mean()) for y, x in ((4, 4), (4, -4), (-4, 4), (-4, -4))]
    assert corners[1] > 240 and max(corners[0], *corners[2:]) < 40  # the white corner went from top left to top right


def test_colours_follow_the_stream(tmp_path: Path) -> None:
    colour = np.array([200, 80, 40], np.uint8)
    video = write_video(tmp_path / "red.mp4", [np.broadcast_to(colour, (48, 64, 3)).copy()] * 2)
    np.testing.assert_allclose(next(decode(video)).image[24, 32], colour, atol=4)


def test_jpg(clip: Path, tmp_path: Path) -> None:
    run(VideoFrames(str(clip), format="jpg", stop=2), tmp_path / "s")
    assert [p.suffix for p in image_paths(tmp_path / "s").values()] == [".jpg", ".jpg"]


def test_assumed_camera(clip: Path, tmp_path: Path) -> None:
    run(VideoFrames(str(clip), stop=1), tmp_path / "s")
    cams = load_npy(tmp_path / "s/annots.npy")["cams"]
    np.testing.assert_allclose(cams["K"][0], [[57.6, 0, 31.5], [0, 57.6, 23.5], [0, 0, 1]], rtol=1e-6)  # 1.2 x 48
    np.testing.assert_array_equal(cams["R"][0], np.eye(3))
    assert not np.any(cams["T"][0]) and not np.any(cams["D"][0])


def test_shrinking_moves_the_camera_with_the_pixels(clip: Path, tmp_path: Path) -> None:
    run(VideoFrames(str(clip), stop=1, max_size=32, focal=100.0), tmp_path / "s")
    assert read_image(tmp_path / "s/images/00/000000.png").shape == (24, 32, 3)
    K = load_npy(tmp_path / "s/annots.npy")["cams"]["K"][0]
    np.testing.assert_allclose(K, [[50, 0, 15.5], [0, 50, 11.5], [0, 0, 1]], rtol=1e-6)


def test_small_videos_are_not_enlarged(clip: Path, tmp_path: Path) -> None:
    run(VideoFrames(str(clip), stop=1, max_size=500), tmp_path / "s")
    assert read_image(tmp_path / "s/images/00/000000.png").shape == (48, 64, 3)


@pytest.mark.parametrize(
    "options",
    [{"start": -1}, {"step": 0}, {"start": 5, "stop": 5}, {"format": "bmp"}, {"max_size": 0}, {"focal": 0.0}],
)
def test_wrong_options(clip: Path, options: dict) -> None:
    with pytest.raises(UserError):
        VideoFrames(str(clip), **options)


def test_second_run_is_skipped_and_another_range_replaces_the_first(clip: Path, tmp_path: Path) -> None:
    subject = tmp_path / "s"
    run_stages([VideoFrames(str(clip))], subject)
    assert is_finished(VideoFrames(str(clip)), subject)
    run_stages([VideoFrames(str(clip), stop=4, format="jpg")], subject)
    assert [p.name for p in sorted((subject / "images/00").iterdir())] == [f"{i:06d}.jpg" for i in range(4)]


def test_another_video_of_the_same_name_is_refused(clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "clip.mp4", grey_levels(3))
    run_stages([VideoFrames(str(clip))], tmp_path / "s")
    with pytest.raises(UserError, match="subject="):
        run_stages([VideoFrames(str(other))], tmp_path / "s")
    assert is_finished(VideoFrames(str(clip)), tmp_path / "s")


def test_video_edited_in_place_is_read_again(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", grey_levels(3))
    run_stages([VideoFrames(str(video))], tmp_path / "s")
    write_video(video, grey_levels(5))
    run_stages([VideoFrames(str(video))], tmp_path / "s")
    assert len(image_paths(tmp_path / "s")) == 5


def test_foreign_pictures_are_not_overwritten(clip: Path, toy_copy: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(toy_copy.rglob("*.png"))}
    with pytest.raises(UserError, match="not made from a video"):
        run_stages([VideoFrames(str(clip))], toy_copy)
    assert before == {path: path.read_bytes() for path in sorted(toy_copy.rglob("*.png"))}


def test_part_before_a_damaged_picture_can_be_used(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(8)]
    video = write_video(tmp_path / "clip.mp4", pictures)
    damage(video, 5)
    with pytest.raises(UserError, match=r"clip\.mp4: picture 5 cannot be decoded .*stop=5"):
        run_stages([VideoFrames(str(video), strict=True)], tmp_path / "s")
    run_stages([VideoFrames(str(video), strict=True, stop=5)], tmp_path / "s")
    assert run(VideoFrames(str(video)), tmp_path / "t")
    about = Subject(tmp_path / "t").meta["video"]
    assert about["pictures"] == [0, 1, 2, 3, 4] and "3 pictures cannot be decoded" in about["notes"][0]
    run_stages([VideoFrames(str(video), stop=5)], tmp_path / "s")
    assert len(image_paths(tmp_path / "s")) == 5


def test_truncated_video_is_used_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = write_video(tmp_path / "clip.mp4", grey_levels(8), faststart=True)
    offset, size = packets(video)[5]
    video.write_bytes(video.read_bytes()[: offset + size])
    assert run(VideoFrames(str(video)), tmp_path / "s") == list(range(6))
    assert "ends after 6 of the 8 pictures" in caplog.text
    notes = recorded_notes(tmp_path / "s")
    assert notes == ["cut off: it ends after 6 of the 8 pictures that it promises"]
    assert [finding.value for finding in recording(notes)] == notes
    with pytest.raises(UserError, match=r"clip\.mp4 ends after 6 of the 8 pictures that it promises: copy it again"):
        run(VideoFrames(str(video), strict=True), tmp_path / "other")
    run(VideoFrames(str(video), strict=True, stop=6), tmp_path / "other")  # what is taken of it is whole
    assert recorded_notes(tmp_path / "other") == []


def noise(count: int) -> list[np.ndarray]:
    """Pictures whose data need more than a few bytes, so that damage shows; a corner's grey level numbers them."""
    rng = np.random.default_rng(0)
    pictures = [np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(count)]
    for index, picture in enumerate(pictures):
        picture[-8:, -8:] = 30 + 10 * index % 220
    return pictures


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_damaged_pictures_are_left_out_up_to_the_next_key_picture(tmp_path: Path, suffix: str) -> None:
    """What is made from a damaged picture is as wrong as it is, and decoders do not say so."""
    video = write_video(tmp_path / f"clip{suffix}", noise(12), key_every=4)
    damage(video, 5)
    subject = tmp_path / "s"
    assert run(VideoFrames(str(video)), subject) == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    meta = load_json(subject / "subject.json")["video"]
    assert meta["pictures"] == [0, 1, 2, 3, 4, 8, 9, 10, 11]
    assert meta["seconds"][5] - meta["seconds"][4] == pytest.approx(0.16)
    (note,) = meta["notes"]
    assert "damaged: 3 pictures cannot be decoded, or are made from such ones, and are left out (5, 6, 7)" in note
    assert "preprocess.frames.stop=5" in note
    assert list(image_paths(subject)) == list(range(9))
    assert run(VideoFrames(str(video), start=1, step=3), tmp_path / "t") == [1, 4, 10]
    with pytest.raises(UserError, match=r"picture 5 cannot be decoded .* preprocess\.frames\.strict=false"):
        run(VideoFrames(str(video), strict=True), tmp_path / "u")


def test_pictures_that_point_to_a_damaged_one_ahead_are_left_out(tmp_path: Path) -> None:
    """With pictures made from two others, a key picture comes out of the decoder after the damage behind it."""
    video = tmp_path / "clip.mp4"
    options = {"crf": "10", "bf": "2", "b_strategy": "0", "g": "8", "sc_threshold": "0", "flags": "+cgop"}
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in noise(16):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    damage(video, 1)  # in the file: picture 3, before 1 and 2
    assert run(VideoFrames(str(video)), tmp_path / "s") == [0, *range(8, 16)]
    with pytest.raises(UserError, match=r"picture 1 cannot be decoded .*stop=1,"):
        run(VideoFrames(str(video), strict=True), tmp_path / "t")


def test_only_what_is_taken_must_be_whole(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", noise(12), key_every=4)
    damage(video, 5)
    assert run(VideoFrames(str(video), start=8, strict=True), tmp_path / "s") == [8, 9, 10, 11]
    assert run(VideoFrames(str(video), step=4, strict=True), tmp_path / "t") == [0, 4, 8]


def test_a_cut_video_without_a_count_of_its_pictures_is_noticed_by_its_duration(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mkv", noise(100), key_every=10)
    offset, _ = packets(video)[40]
    video.write_bytes(video.read_bytes()[:offset])
    subject = tmp_path / "s"
    assert len(run(VideoFrames(str(video)), subject)) in (39, 40)
    (note,) = load_json(subject / "subject.json")["video"]["notes"]
    assert note.startswith("cut off: it ends after 1.") and note.endswith(" of the 4.0 seconds that it promises")


def test_a_whole_video_has_no_notes(clip: Path, tmp_path: Path) -> None:
    run(VideoFrames(str(clip), strict=True), tmp_path / "s")
    assert load_json(tmp_path / "s/subject.json")["video"]["notes"] == []


def test_a_playlist_opens_no_other_file(clip: Path, tmp_path: Path) -> None:
    """FFmpeg would read the files that it names, whatever its suffix says."""
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    for text in ("ffconcat version 1.0\nfile other.mp4\n", f"ffconcat version 1.0\nfile {other}\n",
                 "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n"):  # fmt: skip
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(UserError, match=r"list\.mp4 cannot be read as a video"):
            run(VideoFrames(str(tmp_path / "list.mp4")), tmp_path / "s")


def test_a_folder_of_pictures_and_an_animation_are_videos(tmp_path: Path) -> None:
    for i, picture in enumerate(grey_levels(12)):
        write_image(tmp_path / "shots" / f"shot {i}.png", picture)
    assert run(VideoFrames(str(tmp_path / "shots")), tmp_path / "a") == list(range(12))  # not 0, 1, 10, 11, 2 ...
    frames = [Image.fromarray(picture) for picture in grey_levels(6)]
    frames[0].save(tmp_path / "x.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    assert run(VideoFrames(str(tmp_path / "x.webp"), step=2), tmp_path / "b") == [0, 2, 4]
    assert Subject(tmp_path / "b").meta["video"]["seconds"] == [0, 0.2, 0.4]
    assert len(VideoFrames(str(tmp_path / "x.webp")).samples(9)["x"].images) == 6
