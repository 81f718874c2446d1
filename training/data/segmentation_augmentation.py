"""Random views of a labelled image: zoom, window, mirror, colour."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.errors import UserError

# What fills the rim of an image that was made smaller: grey, and no class.
RIM_COLOR = (115, 115, 115)


@dataclass(frozen=True)
class SegmentationAugmentation:
    """
    How far random views stray from the recorded image.

    :param min_zoom: the smallest zoom; below 1 a grey rim without labels appears.
    :param max_zoom: the largest zoom.
    :param flip_probability: how often the image is mirrored left to right.
    :param brightness: largest relative change of brightness.
    :param contrast: largest relative change of contrast.
    :param saturation: largest relative change of saturation.
    """

    min_zoom: float = 0.75
    max_zoom: float = 1.5
    flip_probability: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not 0.1 <= self.min_zoom <= self.max_zoom <= 10:
            raise UserError(
                f'zoom from {self.min_zoom} to {self.max_zoom}: must rise and lie in 0.1 to 10'
            )
        for name in ('flip_probability', 'brightness', 'contrast', 'saturation'):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f'{name} {getattr(self, name)} is not in 0 to 1')


def augment(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    height: int,
    width: int,
    settings: SegmentationAugmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """
    Draw a random view.

    :param image: (H, W, 3) RGB.
    :param labels: (H, W) class ids.
    :param height: of the view.
    :param width: of the view.
    :param settings: how far views stray.
    :param rng: makes every choice.
    :return: image (height, width, 3) and labels (height, width).
    """
    image, labels = random_window(
        image, labels, height, width, settings.min_zoom, settings.max_zoom, rng
    )
    if rng.random() < settings.flip_probability:
        image, labels = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])
    return jitter_color(image, settings, rng), labels


def random_window(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    height: int,
    width: int,
    min_zoom: float,
    max_zoom: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Zoom (H, W, 3) and (H, W) by a random factor and cut a window of height x width."""
    # Uniform in the logarithm: as often twice as large as half as large.
    zoom = float(np.exp(rng.uniform(np.log(min_zoom), np.log(max_zoom))))
    # Where the window starts in the zoomed image; negative inside a rim.
    left, top = (
        float(rng.uniform(0, 1)) * (size * zoom - cut)
        for size, cut in ((labels.shape[1], width), (labels.shape[0], height))
    )
    # From a pixel of the window to one of the image, centres at integers.
    to_image = np.array(
        [
            [1 / zoom, 0, (left + 0.5) / zoom - 0.5],
            [0, 1 / zoom, (top + 0.5) / zoom - 0.5],
        ],
        np.float64,
    )
    size = (width, height)
    seen = cv2.warpAffine(
        image,
        to_image,
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=RIM_COLOR,
    )
    seen_labels = cv2.warpAffine(
        labels,
        to_image,
        size,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(UNKNOWN_ID,),
    )
    return np.asarray(seen, np.uint8), np.asarray(seen_labels, np.uint8)


def jitter_color(
    image: NDArray[np.uint8], settings: SegmentationAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change brightness, contrast and saturation of RGB (H, W, 3) at random."""
    brightness, contrast, saturation = (
        1 + float(rng.uniform(-limit, limit))
        for limit in (settings.brightness, settings.contrast, settings.saturation)
    )
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    middle = float(gray.mean())
    gray3 = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    # All three are linear, so that one blend does: gain * (s * image + (1 - s) * gray) + offset.
    gain = brightness * contrast
    offset = brightness * (1 - contrast) * middle
    mixed = cv2.addWeighted(image, gain * saturation, gray3, gain * (1 - saturation), offset)
    return np.asarray(mixed, np.uint8)
