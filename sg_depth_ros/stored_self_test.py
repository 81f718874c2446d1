"""The self-test as the contract stores it: a PNG, and compressed depth of half precision."""

import base64
import binascii
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from sg_depth_ros.contract_fields import Fields
from sg_depth_ros.errors import UserError

_IMAGE, _DEPTH = 'image_png', 'depth_m_f16_zlib'


def pack_self_test(image: NDArray[np.uint8], depth_m: NDArray[np.float32]) -> dict[str, str]:
    """
    Return the JSON object of a self-test.

    :param image: RGB (H, W, 3).
    :param depth_m: (H, W) metres; stored with half precision, which is 5e-4 relative: finer than
        any engine's agreement, and half the file.
    """
    assert image.dtype == np.uint8, f'the image is {image.dtype}'
    assert image.shape == (*depth_m.shape, 3), f'{image.shape} does not go with {depth_m.shape}'
    ok, png = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert ok, 'OpenCV could not encode a PNG'
    with np.errstate(over='ignore'):  # what is too large for it is refused on reading
        depth = depth_m.astype('<f2')
    return {
        _IMAGE: base64.b64encode(png.tobytes()).decode(),
        _DEPTH: base64.b64encode(zlib.compress(depth.tobytes(), 9)).decode(),
    }


def unpack_self_test(
    fields: Fields, width: int, height: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """
    Return the image (H, W, 3), RGB, and the depth (H, W) in metres.

    :param fields: of the object, whose content may be anyone's.
    :raises UserError: naming the field that cannot be decoded or is of another size.
    """
    image = _decode_image(fields, width, height)
    depth_m = _decode_depth(fields, width, height)
    fields.nothing_else()
    return image, depth_m


def _decode_image(fields: Fields, width: int, height: int) -> NDArray[np.uint8]:
    png = _decode_base64(fields, _IMAGE)
    # PNG specification, section 11.2.2: width and height open the first chunk. Looked at before
    # decoding, for a few kilobytes of PNG can decode to gigabytes.
    if png[12:24] != b'IHDR' + width.to_bytes(4, 'big') + height.to_bytes(4, 'big'):
        raise fields.wrong(_IMAGE, f'is no PNG of {width}x{height}')
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        bgr = cv2.imdecode(np.frombuffer(png, np.uint8), flags)
    except cv2.error as error:
        reason = ' '.join(str(error).split())
        raise fields.wrong(_IMAGE, f'cannot be decoded ({reason})') from error
    if bgr is None or bgr.shape != (height, width, 3):
        raise fields.wrong(_IMAGE, 'cannot be decoded')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _decode_depth(fields: Fields, width: int, height: int) -> NDArray[np.float32]:
    packed = _decode_base64(fields, _DEPTH)
    size_bytes = 2 * width * height
    inflater = zlib.decompressobj()
    try:
        # Bounded, for a crafted file must not fill the vehicle's memory.
        content = inflater.decompress(packed, size_bytes + 1)
    except zlib.error as error:
        raise fields.wrong(_DEPTH, f'cannot be decoded ({error})') from error
    if len(content) != size_bytes or not inflater.eof or inflater.unused_data:
        raise fields.wrong(_DEPTH, f'is not the depth of {width}x{height} pixels')
    depth = np.frombuffer(content, '<f2')
    if not (np.isfinite(depth) & (depth > 0)).all():
        raise fields.wrong(_DEPTH, 'holds depth that is not positive and finite')
    return depth.astype(np.float32).reshape(height, width)


def _decode_base64(fields: Fields, name: str) -> bytes:
    try:
        return base64.b64decode(fields.base64(name), validate=True)
    except UserError:
        raise
    except (binascii.Error, ValueError) as error:  # ValueError: letters beyond ASCII
        raise fields.wrong(name, f'cannot be decoded ({error})') from error
