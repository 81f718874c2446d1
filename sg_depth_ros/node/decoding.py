"""Received images of any encoding to RGB: our own decoder first, cv_bridge for the unusual."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.image_encoding import ACCEPTED_ENCODINGS
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_compressed_image
from sg_depth_ros.image_encoding import decode_image


def decode(message: Any) -> NDArray[np.uint8]:
    """
    Turn a sensor_msgs/Image or CompressedImage into RGB.

    :return: (H, W, 3); may share the message's memory and be read-only.
    :raises ImageEncodingError: where nobody can decode it, naming the encoding.
    """
    if hasattr(message, 'format'):
        return decode_compressed_image(message)
    if message.encoding in ACCEPTED_ENCODINGS:
        return decode_image(message)
    return _decode_by_cv_bridge(message)


def _decode_by_cv_bridge(message: Any) -> NDArray[np.uint8]:
    try:
        # Late: only cameras of unusual encodings need it, and it loads a library of its own.
        from cv_bridge import CvBridge

        image = np.asarray(CvBridge().imgmsg_to_cv2(message, 'rgb8'))
    except Exception as error:  # CvBridgeError, or KeyError from the pure-Python cv_bridge
        raise ImageEncodingError(
            f'image encoding {message.encoding!r} is unknown to cv_bridge too ({error!r}); '
            f'accepted: {", ".join(ACCEPTED_ENCODINGS)}'
        ) from error
    if image.shape != (message.height, message.width, 3) or image.dtype != np.uint8:
        raise ImageEncodingError(
            f'cv_bridge made {image.dtype} {image.shape} of a {message.width}x{message.height} '
            f'image of encoding {message.encoding!r}'
        )
    return image
