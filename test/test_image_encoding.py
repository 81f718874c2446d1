import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from sg_depth_ros.errors import UserError
from sg_depth_ros.image_encoding import ACCEPTED_ENCODINGS
from sg_depth_ros.image_encoding import ImageEncodingError
from sg_depth_ros.image_encoding import decode_compressed_image
from sg_depth_ros.image_encoding import decode_image
from sg_depth_ros.image_encoding import decode_image_file

RED = (200, 30, 10)


def message(pixels, encoding, *, padding=0, width=None, big_endian=False):
    rows = pixels.reshape(pixels.shape[0], -1)
    rows = (
        rows.view(np.uint8)
        if rows.dtype == np.uint8
        else rows.astype('>u2' if big_endian else '<u2').view(np.uint8)
    )
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    return SimpleNamespace(
        height=pixels.shape[0],
        width=width or pixels.shape[1],
        encoding=encoding,
        is_bigendian=big_endian,
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def picture(height=6, width=8):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def plain(color, height=6, width=8):
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize(
    ('encoding', 'order'),
    [('rgb8', (0, 1, 2)), ('bgr8', (2, 1, 0)), ('8UC3', (2, 1, 0))],
)
@pytest.mark.parametrize('padding', [0, 5])
def test_three_channels_become_rgb_with_or_without_padding(encoding, order, padding):
    rgb = picture()
    stored = np.ascontiguousarray(rgb[..., order])

    np.testing.assert_array_equal(decode_image(message(stored, encoding, padding=padding)), rgb)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(('name', 'order'), [('rgba', (0, 1, 2)), ('bgra', (2, 1, 0))])
def test_alpha_is_left_out(name, order, bits):
    rgb = picture()
    stored = np.concatenate([rgb[..., order], np.full((6, 8, 1), 7, np.uint8)], axis=2)
    if bits == 16:
        stored = stored.astype(np.uint16) << 8

    np.testing.assert_array_equal(decode_image(message(stored, f'{name}{bits}', padding=6)), rgb)


# What cv_bridge turns into rgb8 (vision_opencv, cv_bridge.cpp, getConversionCode).
@pytest.mark.parametrize(
    'encoding',
    [
        *(f'{name}{bits}' for name in ('rgb', 'bgr', 'rgba', 'bgra', 'mono') for bits in (8, 16)),
        *(f'bayer_{p}{bits}' for p in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)),
        'yuv422',
        'yuv422_yuy2',
    ],
)
def test_everything_that_cv_bridge_converts_is_accepted(encoding):
    assert encoding in ACCEPTED_ENCODINGS


@pytest.mark.parametrize('big_endian', [False, True])
def test_sixteen_bits_keep_their_upper_eight_in_either_byte_order(big_endian):
    gray = np.array([[0x0102, 0xFF01], [0x7F80, 0x00FF]], np.uint16)

    rgb = decode_image(message(gray, 'mono16', padding=3, big_endian=big_endian))

    np.testing.assert_array_equal(rgb[..., 1], [[0x01, 0xFF], [0x7F, 0x00]])
    assert rgb.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ('encoding', 'pattern'),
    [
        ('bayer_rggb8', 'rggb'),
        ('bayer_bggr8', 'bggr'),
        ('bayer_gbrg8', 'gbrg'),
        ('bayer_grbg8', 'grbg'),
        ('bayer_rggb16', 'rggb'),
    ],
)
def test_bayer_mosaic_of_a_plain_colour_gives_that_colour(encoding, pattern):
    value = dict(zip('rgb', RED))
    tile = np.array([value[c] for c in pattern], np.uint8).reshape(2, 2)
    mosaic = np.tile(tile, (4, 4))
    if encoding.endswith('16'):
        mosaic = mosaic.astype(np.uint16) << 8

    rgb = decode_image(message(mosaic, encoding))

    np.testing.assert_array_equal(rgb[2:-2, 2:-2], plain(RED, 4, 4))


@pytest.mark.parametrize(
    ('encoding', 'order'), [('yuv422', 'UYVY'), ('uyvy', 'UYVY'), ('yuv422_yuy2', 'YUYV')]
)
def test_yuv422_of_a_plain_colour_gives_that_colour(encoding, order):
    # BT.601, video range, which the ROS encodings mean.
    r, g, b = (v / 255 for v in RED)
    y = round(16 + 65.481 * r + 128.553 * g + 24.966 * b)
    u = round(128 - 37.797 * r - 74.203 * g + 112.0 * b)
    v = round(128 + 112.0 * r - 93.786 * g - 18.214 * b)
    pair = {'UYVY': [u, y, v, y], 'YUYV': [y, u, y, v]}[order]
    stored = np.tile(np.array(pair, np.uint8), (4, 3)).reshape(4, 6, 2)

    rgb = decode_image(message(stored, encoding))

    assert rgb.shape == (4, 6, 3)
    assert np.abs(rgb.astype(int) - RED).max() <= 2


def test_data_of_any_buffer_type_is_read():
    rgb = picture()
    for kind in (bytes, bytearray, lambda b: array.array('B', b)):
        entry = message(rgb, 'rgb8')
        entry.data = kind(entry.data.tobytes())
        np.testing.assert_array_equal(decode_image(entry), rgb)


def test_unpadded_rgb8_is_not_copied():
    entry = message(picture(), 'rgb8')

    assert np.shares_memory(decode_image(entry), entry.data)


def test_padding_beyond_the_only_row_does_not_matter():
    for encoding, channels in (('rgb8', 3), ('bgr8', 3), ('mono8', 1)):
        entry = message(picture(1, 8)[..., :channels], encoding)
        entry.step = 2**32 - 1
        assert decode_image(entry).shape == (1, 8, 3)


def test_last_row_may_lack_its_padding():
    entry = message(picture(), 'bgr8', padding=5)
    entry.data = entry.data[:-5]

    assert decode_image(entry).shape == (6, 8, 3)


def test_unknown_encoding_is_named_with_the_accepted_ones():
    with pytest.raises(ImageEncodingError, match='32FC1') as raised:
        decode_image(message(picture(), '32FC1'))

    assert all(name in str(raised.value) for name in ACCEPTED_ENCODINGS)
    assert isinstance(raised.value, UserError)


def test_short_data_short_step_and_empty_images_are_refused():
    short = message(picture(), 'rgb8')
    short.data = short.data[:-1]
    with pytest.raises(ImageEncodingError, match='143 bytes, not the 144'):
        decode_image(short)

    narrow = message(picture(), 'rgb8')
    narrow.step = 23
    with pytest.raises(ImageEncodingError, match='step of 23'):
        decode_image(narrow)

    empty = message(picture(), 'rgb8')
    empty.width = 0
    with pytest.raises(ImageEncodingError, match='empty'):
        decode_image(empty)


def encoded(suffix, rgb):
    ok, data = cv2.imencode(suffix, rgb[..., ::-1])
    assert ok
    return data.tobytes()


def test_compressed_png_is_lossless_and_jpeg_close():
    rgb = picture()
    png = SimpleNamespace(format='rgb8; png compressed bgr8', data=encoded('.png', rgb))
    np.testing.assert_array_equal(decode_compressed_image(png), rgb)

    jpeg = SimpleNamespace(format='jpeg', data=np.frombuffer(encoded('.jpg', plain(RED)), 'u1'))
    assert np.abs(decode_compressed_image(jpeg).astype(int) - RED).max() <= 4


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('kept', [0.0, 0.01, 0.6, 0.95])
def test_truncated_files_are_refused(suffix, kept):
    data = encoded(suffix, picture(64, 64))

    with pytest.raises(ImageEncodingError):
        decode_image_file(data[: int(kept * len(data))])


def test_truncated_jpeg_is_noticed_behind_a_thumbnail():
    thumbnail, data = encoded('.jpg', picture(8, 8)), encoded('.jpg', picture(64, 64))
    comment = b'\xff\xfe' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    with_thumbnail = data[:2] + comment + data[2:]

    assert decode_image_file(with_thumbnail).shape == (64, 64, 3)
    with pytest.raises(ImageEncodingError, match='truncated'):
        decode_image_file(with_thumbnail[:-500])


def test_a_header_that_claims_too_much_is_refused_before_decoding(monkeypatch):
    def decode(*arguments):
        raise AssertionError('it was decoded')

    monkeypatch.setattr(cv2, 'imdecode', decode)
    side = (60000).to_bytes(4, 'big')
    jpeg = encoded('.jpg', plain(RED))
    frame = jpeg.index(b'\xff\xc0')
    png = encoded('.png', plain(RED))
    few = (2000).to_bytes(4, 'big')
    claims = [
        ('60000x60000', jpeg[: frame + 5] + side[2:] * 2 + jpeg[frame + 9 :] + bytes(10**7)),
        ('60000x60000', png[:16] + side * 2 + png[24:] + bytes(10**7)),
        ('2000x2000', png[:16] + few * 2 + png[24:]),
        ('0x', jpeg[: frame + 5] + bytes(4) + jpeg[frame + 9 :]),
    ]
    for size, data in claims:
        entry = SimpleNamespace(format='rgb8; jpeg compressed bgr8', data=data)
        with pytest.raises(ImageEncodingError, match=f'claims {size}'):
            decode_compressed_image(entry)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tiff'])
@pytest.mark.parametrize('shape', [(1080, 1920), (1080, 1920, 3)])
def test_the_darkest_image_is_not_taken_for_a_false_claim(suffix, shape):
    data = cv2.imencode(suffix, np.zeros(shape, np.uint8))[1].tobytes()
    decoded = decode_compressed_image(SimpleNamespace(format='', data=data))
    assert decoded.shape == (1080, 1920, 3) and not decoded.any()


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tiff'])
@pytest.mark.parametrize('kind', ['color', 'gray', 'alpha', '16 bit'])
def test_compressed_images_are_rgb_whatever_they_were(suffix, kind):
    gradient = np.tile(np.linspace(0, 250, 32, dtype=np.uint8), (32, 1))
    rgb = np.stack([gradient, gradient.T, 255 - gradient], axis=-1)
    stored = rgb[..., ::-1]
    if kind == 'gray':
        rgb, stored = np.repeat(gradient[..., None], 3, 2), gradient
    elif kind == 'alpha' and suffix != '.jpg':
        stored = np.dstack([stored, np.full((32, 32), 200, np.uint8)])
    elif kind == '16 bit' and suffix != '.jpg':
        stored = stored.astype(np.uint16) * 257
    data = cv2.imencode(suffix, stored)[1].tobytes()
    decoded = decode_compressed_image(SimpleNamespace(format='', data=data))
    assert np.abs(decoded.astype(int) - rgb).max() <= (0 if suffix != '.jpg' else 24)


def test_other_formats_are_refused_naming_the_accepted_ones():
    entry = SimpleNamespace(format='bmp', data=encoded('.bmp', plain(RED)))
    with pytest.raises(ImageEncodingError, match='JPEG, PNG, TIFF'):
        decode_compressed_image(entry)


def test_compressed_depth_is_refused():
    entry = SimpleNamespace(format='16UC1; compressedDepth png', data=b'x')
    with pytest.raises(ImageEncodingError, match='depth'):
        decode_compressed_image(entry)
