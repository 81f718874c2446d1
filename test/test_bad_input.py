"""What the node in its own process does with bad input, over topics."""

import re
import signal
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fragile_model import INFINITE_RED
from fragile_model import NAN_RED
from fragile_model import NEGATIVE_RED
from fragile_model import RAISING_RED
from fragile_model import ZERO_RED
from fragile_model import write_fragile_model
from node_harness import FRAME_ID
from node_harness import OUTPUTS
from node_harness import Bench
from node_harness import NodeProcess
from node_harness import depth_of
from node_harness import image_message
from node_harness import info_message
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from tiny_model import tiny_contract
from tiny_model import tiny_ramp_m

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.point_cloud import POINT_DTYPE

# Images of twice the network's size, of the camera that the model was "trained" with.
CONTRACT = tiny_contract()
CAMERA = CONTRACT.intrinsics.resized(2 * CONTRACT.width, 2 * CONTRACT.height)
SKY_ROWS = CONTRACT.height // 4
ERROR = 2


def picture(red: int = 0, camera: Intrinsics = CAMERA) -> NDArray[np.uint8]:
    pixels = np.zeros((camera.height, camera.width, 3), np.uint8)
    pixels[...] = red, 100, 50
    return pixels


def expected_depth_m(red: int = 0) -> NDArray[np.float32]:
    depth_m = tiny_ramp_m(CONTRACT) * np.float32(1 + red / 100)
    depth_m[:SKY_ROWS] = np.inf
    return depth_m


class Drive:
    """A drive before the node under test: images whose stamps go up."""

    def __init__(self, bench: Bench, node: NodeProcess) -> None:
        self.bench, self.node = bench, node
        self.seconds = 100

    def show(self, pixels: NDArray[np.uint8], encoding: str = 'rgb8', **fields: Any) -> int:
        """Publish an image, with fields of the message replaced, and return its stamp."""
        self.seconds += 1
        message = image_message(pixels, self.seconds, encoding)
        for name, value in fields.items():
            setattr(message, name, value)
        self.bench.images.publish(message)
        return self.seconds

    def tell(self, camera: Intrinsics = CAMERA, **fields: Any) -> None:
        """Publish camera_info, and give it the time to be there before the next image."""
        self.bench.infos.publish(info_message(camera, self.seconds, **fields))
        self.bench.spin(0.1)

    def output(self, seconds: int, topic: str = 'depth/image') -> Any:
        """Wait for the message of a stamp."""

        def found() -> list[Any]:
            return [m for m in self.bench.received[topic] if m.header.stamp.sec == seconds]

        self.bench.wait(lambda: bool(found()))
        (message,) = found()
        return message

    def check_good(self, red: int) -> None:
        """Show a good image; one of each output must come, and the depth be right."""
        seconds = self.show(picture(red))
        np.testing.assert_allclose(
            depth_of(self.output(seconds)), expected_depth_m(red), rtol=1e-4
        )
        assert self.output(seconds, 'points').header.frame_id == FRAME_ID
        assert self.output(seconds, 'depth/camera_info').width == CONTRACT.width

    def came(self, *stamps: int, topic: str = 'depth/image') -> list[int]:
        """Return those of the stamps that came out; a good image has to come after them."""
        seen = [m.header.stamp.sec for m in self.bench.received[topic]]
        return [seconds for seconds in seen if seconds in stamps]

    def complains(self, show: Callable[[], object], *texts: str) -> str:
        """
        Show something until the node logs a line with all the texts, and return the line.

        Errors are throttled, so that the first time may pass in silence.
        """
        start, end_s = len(self.node.text), time.monotonic() + 15
        while True:
            show()
            self.bench.spin(0.3)
            for line in self.node.text[start:].splitlines():
                if all(text in line for text in texts):
                    return line
            assert self.node.process.poll() is None, self.node.text
            assert time.monotonic() < end_s, f'no line with {texts}:\n{self.node.text[start:]}'

    def diagnosed(self, part: str, level: int, text: str = '') -> None:
        """Wait until the diagnostics say this of a part."""

        def said() -> bool:
            found_level, message = self.bench.diagnosis(part)
            return found_level == level and text in message

        self.bench.wait(lambda: part in self.bench.diagnostics and said())


@pytest.fixture(scope='module')
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    """Return a drive that all tests of a process share; each leaves it as it should be."""
    folder = tmp_path_factory.mktemp('drive')
    model = folder / 'model.onnx'
    write_fragile_model(model)
    # The mask comes of every image that was worked on, with a camera or without.
    bench = Bench({**OUTPUTS, 'semantic/mask': Image})
    with NodeProcess(
        folder / 'log', model, processing_mode='every', camera_info_wait_s=0.0
    ) as node:
        bench.connect(node)
        drive = Drive(bench, node)
        drive.tell()
        drive.check_good(1)
        yield drive
        assert node.end(signal.SIGTERM) == 0, node.text
    bench.close()


@pytest.fixture(autouse=True)
def good_again(drive: Drive) -> Iterator[None]:
    """After every test the next good image must be right."""
    yield
    if drive.node.process.poll() is None:
        drive.tell()
        drive.check_good(7)


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


def test_without_camera_info_there_is_depth_only_where_it_needs_none(drive: Drive):
    configure_again(drive)
    start, begin_s = len(drive.node.text), time.monotonic()
    stamps = []
    while time.monotonic() - begin_s < 3.2:
        stamps.append(drive.show(picture()))
        drive.bench.spin(0.1)
    lines = [
        line
        for line in drive.node.text[start:].splitlines()
        if '/depth_node/camera_info' in line and 'bench' in line
    ]
    assert all('[WARN]' in line for line in lines)
    assert 2 <= len(lines) <= 6, lines  # once a second
    drive.diagnosed('camera_info', 1, '/depth_node/camera_info')
    assert drive.came(*stamps) == []
    assert drive.bench.set_parameters(focal_correction=False) == []
    seconds = drive.show(picture(9))
    np.testing.assert_allclose(depth_of(drive.output(seconds)), expected_depth_m(9), rtol=1e-4)
    assert drive.came(seconds, topic='points') == []
    assert drive.bench.set_parameters(focal_correction=True) == []


def configure_again(drive: Drive, **parameters: object) -> None:
    """Let the node forget the camera, and wait until its new outputs are heard."""
    drive.bench.configure_again(**parameters)

    def heard() -> bool:
        drive.show(picture())
        drive.bench.spin(0.2)
        return drive.came(drive.seconds, topic='semantic/mask') != []

    drive.bench.wait(heard)


def test_an_uncalibrated_camera_gives_no_cloud(drive: Drive):
    drive.tell(k=[0.0] * 9)
    line = drive.complains(lambda: drive.show(picture()), 'uncalibrated camera')
    assert '[ERROR]' in line
    drive.diagnosed('camera_info', ERROR, 'uncalibrated')
    seconds = drive.show(picture())
    drive.output(seconds, 'semantic/mask')
    drive.tell()
    drive.check_good(5)
    assert drive.came(seconds, topic='points') == []


def test_an_unknown_lens_gives_no_cloud(drive: Drive):
    drive.tell(d=[0.1] * 5, distortion_model='odd')
    line = drive.complains(lambda: drive.show(picture()), "'odd'", 'plumb_bob')
    assert '[ERROR]' in line
    drive.diagnosed('camera_info', ERROR, 'odd')
    drive.tell()
    drive.check_good(5)
    drive.diagnosed('camera_info', 0, 'ok')  # told no longer


def test_an_info_of_another_size_gives_no_cloud_and_both_sizes(drive: Drive):
    drive.tell(CAMERA, width=CAMERA.width + 40)
    sizes = f'{CAMERA.width + 40}x{CAMERA.height}', f'{CAMERA.width}x{CAMERA.height}'
    line = drive.complains(lambda: drive.show(picture()), *sizes)
    assert '[ERROR]' in line
    drive.diagnosed('camera_info', ERROR, sizes[0])
    seconds = drive.show(picture())
    drive.output(seconds, 'semantic/mask')
    drive.tell()
    drive.check_good(5)
    assert drive.came(seconds, topic='points') == []


def test_an_info_of_the_same_shape_is_scaled_and_that_is_told(drive: Drive):
    double = CAMERA.resized(2 * CAMERA.width, 2 * CAMERA.height)
    drive.tell(double)
    line = drive.complains(lambda: drive.check_good(6), 'scaled to the image')
    assert '[WARN]' in line
    info = drive.output(drive.seconds, 'depth/camera_info')
    np.testing.assert_allclose(np.reshape(info.k, (3, 3)), CONTRACT.intrinsics.matrix(), rtol=1e-6)


def test_the_frame_of_the_image_is_used_and_a_difference_told_once(drive: Drive):
    start = len(drive.node.text)
    configure_again(drive)
    drive.tell()

    def shown(frame_id: str) -> Any:
        message = image_message(picture(2), drive.seconds + 1, frame_id=frame_id)
        drive.seconds += 1
        drive.bench.images.publish(message)
        return drive.output(drive.seconds, 'points').header.frame_id

    assert [shown(name) for name in ('other', 'other', 'third', '', '')] == [
        'other', 'other', 'third', '', '',
    ]  # fmt: skip
    lines = [s for s in drive.node.text[start:].splitlines() if 'frame_id' in s]
    assert len([s for s in lines if "'other'" in s and repr(FRAME_ID) in s]) == 1, lines
    assert len(lines) <= 3, lines
    assert all('[WARN]' in line for line in lines)


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
    configure_again(drive, model=str(other), camera_height=1.0, scale_smoothing_s=60.0)

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
        configure_again(drive, model=model, camera_height=0.0, scale_smoothing_s=2.0)


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


@pytest.mark.parametrize('red', [NAN_RED, INFINITE_RED, ZERO_RED, NEGATIVE_RED])
def test_what_is_no_depth_is_nan_in_depth_and_cloud(drive: Drive, red: int):
    pixels = picture(10)
    pixels[CAMERA.height // 2 :, : CAMERA.width // 2] = red, 0, 0
    seconds = drive.show(pixels)
    expected_m = expected_depth_m(10)
    expected_m[CONTRACT.height // 2 :, : CONTRACT.width // 2] = np.nan
    depth_m = depth_of(drive.output(seconds))
    np.testing.assert_allclose(depth_m, expected_m, rtol=1e-4)
    cloud = drive.output(seconds, 'points')
    assert not cloud.is_dense
    points = np.frombuffer(cloud.data, POINT_DTYPE).reshape(depth_m.shape)
    for axis in 'xyz':
        np.testing.assert_array_equal(np.isnan(points[axis]), ~np.isfinite(expected_m))
    for _ in range(20):  # so that it is the newest at the next report
        drive.show(pixels)
        drive.bench.spin(0.1)

    def ratio() -> float:
        return float(drive.bench.values('output')['network_invalid_ratio'])

    drive.bench.wait(lambda: ratio() > 0)
    assert ratio() == pytest.approx(0.25, abs=0.1)


def test_where_nothing_is_depth_there_is_an_error_and_no_cloud(drive: Drive):
    line = drive.complains(lambda: drive.show(picture(NAN_RED)), 'no valid depth')
    assert '[ERROR]' in line
    drive.diagnosed('output', ERROR, 'no valid depth')
    seconds = drive.show(picture(NAN_RED))
    drive.output(seconds, 'semantic/mask')
    drive.check_good(2)
    assert drive.came(seconds, topic='points') == []


def test_a_network_that_raises_is_released_and_opened_again(drive: Drive):
    assert drive.bench.set_parameters(max_failures_in_a_row=4) == []
    start = len(drive.node.text)
    failing = picture(RAISING_RED)
    drive.show(failing)
    drive.bench.wait(lambda: '[ERROR]' in drive.node.text[start:])
    drive.check_good(3)  # one frame failed, no more
    assert 'released' not in drive.node.text[start:]
    stamps = [drive.show(failing) for _ in range(4)]
    drive.bench.wait(lambda: 'released' in drive.node.text[start:])
    drive.diagnosed('engine', ERROR)
    shown: list[int] = []  # images that come meanwhile are dropped

    def goes_on() -> bool:
        shown.append(drive.show(picture(1)))
        drive.bench.spin(0.1)
        return drive.came(*shown) != []

    drive.bench.wait(goes_on, 20)
    assert drive.came(*stamps) == []
    drive.check_good(13)
    drive.diagnosed('engine', 0)
    assert drive.bench.set_parameters(max_failures_in_a_row=5) == []
    assert re.search(r'RUNTIME_EXCEPTION|INVALID_ARGUMENT|out of data bounds', drive.node.text)
