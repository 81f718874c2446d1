"""Which frames of a drive a report shows: some along the way, the worst, and the best."""

import heapq
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.camera import resize_image
from sg_depth_ros.metrics import resize_depth
from sg_depth_ros.output import write_picture
from sg_depth_ros.report.page import Block
from sg_depth_ros.report.page import Picture
from sg_depth_ros.report.pictures import error_picture
from sg_depth_ros.report.pictures import picture_strip

ERROR_CAPTION = (
    'Error at the LiDAR points: blue is predicted too near, white is right, red is too far; '
    'full colour at half the distance. '
)


@dataclass(frozen=True, eq=False)
class ShownFrame:
    """Everything that pictures of one frame need."""

    number: int  # of the image in the bag, from 0
    image: NDArray[np.uint8]  # [H, W, 3], RGB, as recorded
    labels: NDArray[np.uint8]  # [h, w]
    depth_m: NDArray[np.float32]  # [h, w]
    camera: Intrinsics  # of depth and labels
    truth_m: NDArray[np.float32] | None = None  # [H, W]
    abs_rel: float | None = None  # unscaled

    def strip(self) -> NDArray[np.uint8]:
        """Return image, labels, depth and cloud from above in one picture."""
        return picture_strip(self.image, self.labels, self.depth_m, self.camera)

    def error(self) -> NDArray[np.uint8] | None:
        """Return the error picture at the image's size, or None without ground truth."""
        if self.truth_m is None:
            return None
        filled = np.where(self.depth_m > 0, self.depth_m, np.float32(1e9))
        predicted = resize_depth(filled, self.truth_m.shape)
        image = resize_image(self.image, self.truth_m.shape[1], self.truth_m.shape[0])
        return error_picture(predicted, self.truth_m, image)


@dataclass(eq=False)
class Gallery:
    """Keeps the frames to show while the drive goes by."""

    frame_count: int
    along_count: int = 4
    extreme_count: int = 2
    _along: list[ShownFrame] = field(default_factory=list)
    _worst: list[tuple[float, int, ShownFrame]] = field(default_factory=list)
    _best: list[tuple[float, int, ShownFrame]] = field(default_factory=list)

    def offer(self, frame: ShownFrame) -> None:
        """Take a frame in; frames that nothing speaks for are forgotten."""
        if frame.number in self._planned():
            self._along.append(frame)
        if frame.abs_rel is not None:
            self._keep_extreme(self._worst, frame.abs_rel, frame)
            self._keep_extreme(self._best, -frame.abs_rel, frame)

    def along(self) -> tuple[ShownFrame, ...]:
        """Return the frames along the drive, in order."""
        return tuple(self._along)

    def worst(self) -> tuple[ShownFrame, ...]:
        """Return the frames of largest error, the worst first."""
        return tuple(entry[2] for entry in sorted(self._worst, reverse=True))

    def best(self) -> tuple[ShownFrame, ...]:
        """Return the frames of smallest error, the best first."""
        return tuple(entry[2] for entry in sorted(self._best, reverse=True))

    def _planned(self) -> frozenset[int]:
        # The middles of equal parts: the first and last frames of a drive are seldom typical.
        parts = min(self.along_count, self.frame_count)
        return frozenset(int((i + 0.5) * self.frame_count / parts) for i in range(parts))

    def _keep_extreme(
        self, heap: list[tuple[float, int, ShownFrame]], badness: float, frame: ShownFrame
    ) -> None:
        heapq.heappush(heap, (badness, -frame.number, frame))
        if len(heap) > self.extreme_count:
            heapq.heappop(heap)


def frame_blocks(frame: ShownFrame) -> tuple[Block, ...]:
    """Return the pictures of one frame with their captions."""
    error = '' if frame.abs_rel is None else f', AbsRel {frame.abs_rel:.3f} unscaled'
    blocks: list[Block] = [
        Picture(
            frame.strip(),
            f'Frame {frame.number}{error}. The bar below the depth gives metres; '
            'pale blue is infinitely far, gray is invalid.',
        )
    ]
    picture = frame.error()
    if picture is not None:
        blocks.append(Picture(picture, f'Frame {frame.number}. {ERROR_CAPTION}'))
    return tuple(blocks)


def write_strip(gallery: Gallery, path: Path) -> None:
    """Write the strip of the frame in the middle of the drive, if any frame was judged."""
    along = gallery.along()
    if along:
        write_picture(along[len(along) // 2].strip(), path)
