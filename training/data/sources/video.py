"""
A video file, with a camera_info YAML and, optionally, a CSV of the vehicle's speed.

Stamps are the container's frame times, from 0. The video is decoded twice: for the stamps, then
for the pixels. Nothing is sought: where seeking leads depends on container and codec.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from sg_depth_ros.rectification import RectifiedCamera
from training.data.sources.camera_file import read_camera_file
from training.data.sources.image_stamps import evenly_spaced
from training.data.sources.pinhole import file_camera
from training.data.sources.pinhole import undistorted
from training.data.sources.source import SourceContent
from training.data.sources.source import SourceFrame
from training.data.sources.source import SourceOptions
from training.data.sources.speed_file import speeds_without_odometry

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm')
_RATE_TOLERANCE = 0.1  # how far the frame rate may be from the frame times unmentioned
_MISSING_SHARE = 0.05  # of the announced duration, before it is worth a word


@dataclass(frozen=True, eq=False)
class VideoDrive:
    """A video file."""

    path: Path
    frames: tuple[SourceFrame, ...]
    notes: tuple[str, ...]
    camera: RectifiedCamera
    licence: str = 'not stated'

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    @property
    def description(self) -> str:
        """What it is."""
        return f'video {self.path.name}'

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera after rectification."""
        return self.camera.camera

    def read(self, first: int = 0) -> Iterator[SourceContent]:
        """Return each frame, rectified; those before ``first`` are decoded, not converted."""
        with _open_video(self.path) as video:
            for number in range(len(self.frames)):
                if not video.grab():
                    raise UserError(
                        f'{self.path}: ends after {number} frames, {len(self.frames)} were there '
                        'before; was it changed meanwhile?'
                    )
                if number >= first:
                    image = _retrieve(video, self.path, number)
                    yield SourceContent(undistorted(image, self.camera))


def is_video(path: Path) -> bool:
    """Return whether a path looks like a video file: by its suffix."""
    return path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES


def open_video(path: Path, options: SourceOptions) -> VideoDrive:
    """
    Open a video.

    :raises UserError: where it has no camera file or does not fit it, cannot be decoded, or its
        frames have no times.
    """
    if options.camera_info is None:
        raise UserError(
            f'{path}: a video does not say its intrinsics; give --camera-info FILE.yaml, as '
            'camera_calibration writes it'
        )
    info = read_camera_file(options.camera_info)
    notes: list[str] = []
    scan = _scan(path, notes)
    camera = file_camera(
        info, options.camera_info, str(path), scan.width_px, scan.height_px, notes
    )
    stamps = frame_stamps(scan, path, options.rate_hz, notes)
    speeds = speeds_without_odometry(options.speed, stamps, absolute=False, notes=notes)
    return VideoDrive(
        path=path,
        frames=tuple(SourceFrame(int(s), v) for s, v in zip(stamps, speeds)),
        notes=tuple(notes),
        camera=camera,
    )


class VideoScan(NamedTuple):
    """What a video says of itself, and what decoding it showed."""

    width_px: int
    height_px: int
    rate_hz: float  # as the file says
    announced_frames: int  # where the file does not count: its duration times its rate
    times_ms: tuple[float, ...]  # of the frames that can be decoded


def _scan(path: Path, notes: list[str]) -> VideoScan:
    """Decode the whole video for its frames' times; the pixels are left alone."""
    with _open_video(path) as video:
        times_ms: list[float] = []
        height = width = 0
        while video.grab():
            if not times_ms:
                height, width = _retrieve(video, path, 0).shape[:2]
            times_ms.append(float(video.get(cv2.CAP_PROP_POS_MSEC)))
        if not times_ms:
            raise UserError(f'{path}: no frame of the video can be decoded')
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        rate_hz = float(video.get(cv2.CAP_PROP_FPS))
        turned = int(video.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    if turned:
        notes.append(
            f'The video says that it is turned by {turned} degrees, and is shown upright: the '
            'calibration must be of upright images too.'
        )
    return VideoScan(width, height, rate_hz, announced, tuple(times_ms))


def frame_stamps(
    scan: VideoScan, path: Path, named_rate_hz: float | None, notes: list[str]
) -> NDArray[np.int64]:
    """
    Return the frames' stamps: as the user names their rate, by their own times, else by the rate.

    :param named_rate_hz: of ``--rate``, or None.
    :param notes: gets a sentence for what was assumed or looks wrong.
    :return: (N,) ns from 0, increasing.
    :raises UserError: where the file has neither times nor a rate.
    """
    count = len(scan.times_ms)
    stamps = _own_stamps(scan)
    rate_known = math.isfinite(scan.rate_hz) and scan.rate_hz > 0
    measured_hz = scan.rate_hz
    if stamps is not None and count > 1:
        measured_hz = 1e9 / float(np.median(np.diff(stamps)))
    if rate_known:
        announced_s = scan.announced_frames / scan.rate_hz
        last_s = (count - 1) / scan.rate_hz if stamps is None else scan.times_ms[-1] * 1e-3
        decoded_s = last_s + 1 / measured_hz
        if decoded_s < (1 - _MISSING_SHARE) * announced_s:
            notes.append(
                f'The file announces {announced_s:.1f} s, of which {decoded_s:.1f} s can be '
                'decoded: it may be cut off or damaged.'
            )
    if named_rate_hz is not None:
        notes.append(f'Stamps are those of {named_rate_hz:g} Hz, as --rate says.')
        return evenly_spaced(count, named_rate_hz)
    if stamps is None and not rate_known:
        raise UserError(f'{path}: has neither frame times nor a frame rate; give --rate HZ')
    if stamps is None:
        notes.append(f'The frame times do not increase: stamps are those of {scan.rate_hz:g} Hz.')
        return evenly_spaced(count, scan.rate_hz)
    if rate_known and abs(measured_hz / scan.rate_hz - 1) > _RATE_TOLERANCE:
        notes.append(
            f'The file says {scan.rate_hz:g} Hz, its frames are {measured_hz:g} Hz apart: their '
            'own times are taken.'
        )
    return stamps


def _own_stamps(scan: VideoScan) -> NDArray[np.int64] | None:
    """Return the frames' times in ns from 0, or None where they do not increase."""
    times_ms = np.array(scan.times_ms)
    if not np.isfinite(times_ms).all():
        return None
    stamps: NDArray[np.int64] = np.rint((times_ms - times_ms[0]) * 1e6).astype(np.int64)
    return stamps if (np.diff(stamps) > 0).all() else None


@contextmanager
def _open_video(path: Path) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise UserError(
                f'{path}: the video cannot be opened: damaged, or of a codec that this OpenCV '
                'lacks; "ffmpeg -i VIDEO -c:v libx264 -crf 15 NEW.mp4" makes one that it reads'
            )
        yield video
    finally:
        video.release()


def _retrieve(video: cv2.VideoCapture, path: Path, number: int) -> NDArray[np.uint8]:
    """Return the frame that was grabbed, as RGB (H, W, 3)."""
    try:
        read, bgr = video.retrieve()
    except cv2.error as error:
        raise UserError(f'{path}: frame {number} cannot be decoded ({error.err})') from error
    if not read or bgr is None:
        raise UserError(f'{path}: frame {number} cannot be decoded; mend or cut the video')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
