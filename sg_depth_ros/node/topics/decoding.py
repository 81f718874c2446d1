"""Received images of any encoding to RGB: our own decoder first, cv_bridge for the unusual."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.image_encoding import ACCEPTED_ENCODINGS
from sg_depth_ros.image_encoding import MAX_PIXELS
from sg_depth_ros.image_encoding import ImageDecoder
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_compressed_image
from sg_depth_ros.image_encoding import shown


class MessageDecoder:
    """Turns received messages into RGB, in memory that is kept while the size stays."""

    def __init__(self) -> None:
        self._decoder = ImageDecoder()

    def decode(self, message: Any) -> NDArray[np.uint8]:
        """
        Turn a sensor_msgs/Image or CompressedImage into RGB.

        :return: (H, W, 3), valid until the next call; of rgb8 it is the message's own memory and
            may be read-only.
        :raises ImageEncodingError: where nobody can decode it, saying why.
        """
        if hasattr(message, 'format'):
            return decode_compressed_image(message)
        if message.encoding in ACCEPTED_ENCODINGS:
            return self._decoder.decode(message)
        return _decode_by_cv_bridge(message)


def _decode_by_cv_bridge(message: Any) -> NDArray[np.uint8]:
    _check_size(message)
    try:
        # Late: only cameras of unusual encodings need it, and it loads a library of its own.
        from cv_bridge import CvBridge

        image = np.asarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'))
    except Exception as error:  # CvBridgeError, or KeyError from the pure-Python cv_bridge
        raise ImageEncodingError(
            f'image encoding {shown(message.encoding)} is unknown to cv_bridge too '
            f'({shown(str(error))}); accepted: {", ".join(ACCEPTED_ENCODINGS)}'
        ) from error
    if image.shape != (message.height, message.width, 3) or image.dtype != np.uint8:
        raise ImageEncodingError(
            f'cv_bridge made {image.dtype} {image.shape} of a {message.width}x{message.height} '
            f'image of encoding {shown(message.encoding)}'
        )
    return image


def _check_size(message: Any) -> None:
    """Refuse what no library should be asked to read, whatever the encoding."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height <= 0 or width <= 0:
        raise ImageEncodingError(f'image of size {width}x{height} is empty')
    if height * width > MAX_PIXELS or step * (height - 1) > len(message.data):
        raise ImageEncodingError(
            f'image of size {width}x{height} with a step of {step} and {len(message.data)} bytes '
            f'of encoding {shown(message.encoding)} is malformed'
        )
