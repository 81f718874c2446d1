"""What the node in its own process does with bad images, over topics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fragile_model import RAISING_RED
from fragile_model import write_fragile_model
from node_harness import depth_of
from tiny_model import tiny_contract
from watched_drive import CAMERA
from watched_drive import CONTRACT
from watched_drive import ERROR
from watched_drive import SKY_ROWS
from watched_drive import Drive
from watched_drive import expected_depth_m
from watched_drive import picture

from sg_depth_ros.point_cloud import POINT_DTYPE


@pytest.fixture
def drive(shared_drive: Drive) -> Iterator[Drive]:
    """Return the drive that the tests share; after each the next good image must be right."""
    yield shared_drive
    shared_drive.check_good_again()


def test_an_unsupported_encoding_is_dropped_and_told_with_those_that_are(drive: Drive):
    line = drive.complains(lambda: drive.show(picture(), '12UC7'), "'12UC7'", 'rgb8', 'mono16')
    assert '[ERROR]' in line
    start = len(drive.node.text)
    stamps = [drive.show(picture(), '12UC7') for _ in range(30)]
    drive.diagnosed('input', ERROR, '12UC7')
    drive.check_good(3)
    assert drive.came(*stamps) == []
    assert drive.node.text[start:].count('image dropped') <= 3  # throttled
    assert 'Traceback' not in drive.node.text[start:]


@pytest.mark.parametrize('encoding', ['rgb8', 'bgr8'])
def test_padded_rows_are_taken_as_they_are(drive: Drive, encoding: str):
    pixels = picture(20)
    rows = np.full((CAMERA.height, 3 * CAMERA.width + 5), RAISING_RED, np.uint8)
    rows[:, :-5] = (pixels if encoding == 'rgb8' else pixels[..., ::-1]).reshape(CAMERA.height, -1)
    seconds = drive.show(pixels, encoding, step=rows.shape[1], data=rows.tobytes())
    np.testing.assert_allclose(depth_of(drive.output(seconds)), expected_depth_m(20), rtol=1e-4)


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_the_byte_order_is_minded(drive: Drive, is_bigendian: int):
    samples = np.full((CAMERA.height, CAMERA.width), 30 << 8 | RAISING_RED, np.uint16)
    data = samples.astype('>u2' if is_bigendian else '<u2').tobytes()
    seconds = drive.show(
        picture(), 'mono16', step=2 * CAMERA.width, data=data, is_bigendian=is_bigendian
    )
    np.testing.assert_allclose(depth_of(drive.output(seconds)), expected_depth_m(30), rtol=1e-4)


@pytest.mark.parametrize(
    'fields',
    [
        {'data': bytes(100)},
        {'data': b''},
        {'step': 3 * CAMERA.width - 1},
        {'step': 0},
        {'step': 2**32 - 1},
        {'height': CAMERA.height + 1},
        {'width': 2**31},
        {'height': 2**32 - 1, 'width': 2**32 - 1, 'step': 2**32 - 1},
    ],
    ids=str,
)
def test_data_that_is_shorter_than_it_says_is_dropped(drive: Drive, fields: dict[str, Any]):
    drive.complains(lambda: drive.show(picture(), **fields), '[ERROR]', 'image dropped')
    drive.diagnosed('input', ERROR)
    seconds = drive.seconds
    drive.check_good(4)
    assert drive.came(seconds) == []


@pytest.mark.parametrize('fields', [{'width': 0}, {'height': 0}, {'width': 0, 'height': 0}])
def test_an_image_of_no_size_is_dropped(drive: Drive, fields: dict[str, int]):
    drive.complains(lambda: drive.show(picture(), **fields, data=b'', step=0), '[ERROR]', 'empty')
    drive.diagnosed('input', ERROR)


def test_stamps_that_jump_back_begin_anew(drive: Drive):
    for red in range(10):
        drive.check_good(red)
    start, late = len(drive.node.text), drive.seconds
    drive.seconds = 10  # a bag that begins again; a drive's first stamp is 101
    drive.check_good(11)
    drive.bench.wait(lambda: 'jumped back' in drive.node.text[start:])
    for red in range(3):
        drive.check_good(red)
    drive.bench.wait(lambda: drive.bench.values('input')['stamp_jumps'] == '1')
    drive.bench.wait(lambda: drive.bench.values('processing')['frames_processed'] == '4')
    assert drive.node.text[start:].count('jumped back') == 1
    drive.diagnosed('output', 0)
    drive.seconds = late


def test_a_scale_found_before_the_stamps_jumped_back_is_forgotten(drive: Drive, tmp_path: Path):
    # Ground 2 units of the network below a camera that is mounted 1 m above it.
    rows = np.arange(CONTRACT.height) - CONTRACT.intrinsics.cy
    units = np.where(rows > 0, 2 * CONTRACT.intrinsics.fy / np.maximum(rows, 0.5), np.nan)
    ramp = np.repeat(units[:, None].astype(np.float32), CONTRACT.width, axis=1)
    other, model = tmp_path / 'unscaled.onnx', drive.bench.get_parameter('model')
    write_fragile_model(other, tiny_contract(metric=False), ramp)
    drive.configure_again(model=str(other), camera_height=1.0, scale_smoothing_s=60.0)

    def shares(red: int, count: int) -> list[float]:
        """Show images, and return what their depth is a multiple of, in the lowest row."""
        true_m = CONTRACT.intrinsics.fy / rows[-1]
        stamps = [drive.show(picture(red)) for _ in range(count)]
        drive.output(stamps[-1], 'semantic/mask')
        depths = [m for m in drive.bench.received['depth/image'] if m.header.stamp.sec in stamps]
        return [float(depth_of(m)[-1, 0] / true_m) for m in depths]

    try:
        drive.tell()
        assert shares(0, 5)[-1] == pytest.approx(1, rel=0.02)
        late = drive.seconds
        assert shares(99, 2)[-1] == pytest.approx(1.99, rel=0.05)  # another unit, the old scale
        drive.seconds = 30  # none of a test is from here to 100
        assert shares(99, 5)[-1] == pytest.approx(1, rel=0.02)
        drive.seconds = late + 10
    finally:
        drive.configure_again(model=model, camera_height=0.0, scale_smoothing_s=2.0)


def test_images_of_another_size_are_met_with_one_line(drive: Drive):
    start = len(drive.node.text)
    large = CONTRACT.intrinsics.resized(5 * CONTRACT.width, 5 * CONTRACT.height)
    drive.tell(large)
    for red in (3, 8, 12):
        seconds = drive.show(picture(red, large))
        depth_m = depth_of(drive.output(seconds))
        np.testing.assert_allclose(depth_m, expected_depth_m(red), rtol=1e-4)
        cloud = drive.output(seconds, 'points')
        points = np.frombuffer(cloud.data, POINT_DTYPE).reshape(depth_m.shape)
        rays = CONTRACT.intrinsics.rays()
        np.testing.assert_allclose(
            points['x'][SKY_ROWS:], (rays[..., 0] * depth_m)[SKY_ROWS:], rtol=1e-4
        )
    lines = [s for s in drive.node.text[start:].splitlines() if f'{large.width}x' in s]
    assert len(lines) == 1 and '[INFO]' in lines[0], lines
