"""What the node in its own process does where its network gives no depth, over topics."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from fragile_model import INFINITE_RED
from fragile_model import NAN_RED
from fragile_model import NEGATIVE_RED
from fragile_model import RAISING_RED
from fragile_model import ZERO_RED
from node_harness import depth_of
from watched_drive import CAMERA
from watched_drive import CONTRACT
from watched_drive import ERROR
from watched_drive import Drive
from watched_drive import expected_depth_m
from watched_drive import picture

from sg_depth_ros.point_cloud import POINT_DTYPE


@pytest.fixture
def drive(shared_drive: Drive) -> Iterator[Drive]:
    """Return the drive that the tests share; after each the next good image must be right."""
    yield shared_drive
    shared_drive.check_good_again()


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
