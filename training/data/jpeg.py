"""
Decoding the stored frames for training: into the batch itself, and damage is an error.

With simplejpeg, which lets libjpeg-turbo write where the batch lies, and which refuses whatever
libjpeg warns of. Without it OpenCV decodes the same pixels, through a copy, and sees only the
damage that is a missing end.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_image_file

try:
    import simplejpeg  # type: ignore[import-not-found,import-untyped,unused-ignore]
except ImportError:
    simplejpeg = None
DECODER = 'OpenCV' if simplejpeg is None else 'simplejpeg'


def decode_into(data: bytes, image: NDArray[np.uint8]) -> None:
    """
    Decode an image file whose size is known.

    :param data: the file.
    :param image: RGB (H, W, 3), contiguous; is written.
    :raises ImageEncodingError: where the file is damaged or of another size; what ``image`` holds
        then is undefined.
    """
    is_jpeg = data.startswith(b'\xff\xd8')
    decode: Callable[[bytes, NDArray[np.uint8]], NDArray[np.uint8]] = (
        _decode_by_simplejpeg if is_jpeg and simplejpeg is not None else _decode_by_opencv
    )
    decoded = decode(data, image)
    if decoded.shape != image.shape:
        raise ImageEncodingError(
            f'{decoded.shape[1]}x{decoded.shape[0]} pixels, not {image.shape[1]}x{image.shape[0]}'
        )


def _decode_by_simplejpeg(data: bytes, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        # Larger images do not fit into the buffer; they are refused by their size.
        where: dict[str, Any] = {'buffer': image} if (height, width) == image.shape[:2] else {}
        return np.asarray(simplejpeg.decode_jpeg(data, 'RGB', **where), np.uint8)
    except ValueError as error:
        raise ImageEncodingError(f'damaged JPEG ({error})') from error


def _decode_by_opencv(data: bytes, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    decoded = decode_image_file(data)
    if decoded.shape == image.shape:
        image[...] = decoded
    return decoded
