"""What the node in its own process does with bad or missing camera_info, over topics."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from node_harness import FRAME_ID
from node_harness import depth_of
from node_harness import image_message
from watched_drive import CAMERA
from watched_drive import CONTRACT
from watched_drive import ERROR
from watched_drive import Drive
from watched_drive import expected_depth_m
from watched_drive import picture


@pytest.fixture
def drive(shared_drive: Drive) -> Iterator[Drive]:
    """Return the drive that the tests share; after each the next good image must be right."""
    yield shared_drive
    shared_drive.check_good_again()


def test_without_camera_info_there_is_depth_only_where_it_needs_none(drive: Drive):
    drive.configure_again()
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
    drive.configure_again()
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
