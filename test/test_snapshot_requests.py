"""Who asked for a snapshot gets copies of one frame, or hears why there is none."""

from concurrent.futures import Future

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header
from tiny_model import tiny_contract

from sg_depth_ros.engines.engine import Prediction
from sg_depth_ros.errors import UserError
from sg_depth_ros.estimator import Estimate
from sg_depth_ros.node.snapshot import Snapshot
from sg_depth_ros.node.snapshot_requests import SnapshotRequests

CAMERA = tiny_contract().intrinsics
HEADER = Header(stamp=Time(sec=3), frame_id='front_optical')


def estimate_of(value: int, with_depth: bool = True) -> Estimate:
    """Return an estimate whose arrays hold one value."""
    size = (CAMERA.height, CAMERA.width)
    depth_m, pixels = np.full(size, value, np.float32), np.full(size, value, np.uint8)
    return Estimate(
        image=np.full((*size, 3), value, np.uint8),
        camera=CAMERA,
        prediction=Prediction(depth_m, pixels, pixels.copy()),
        depth_m=depth_m if with_depth else None,
        camera_problem='',
        depth_problem='',
        scale=1.0,
        scale_note='',
        preprocess_ms=0.0,
        inference_ms=0.0,
        postprocess_ms=0.0,
    )


@pytest.fixture
def requests() -> SnapshotRequests:
    return SnapshotRequests()


def asked(requests: SnapshotRequests) -> 'Future[Snapshot]':
    future: Future[Snapshot] = Future()
    requests.add(future)
    return future


def test_everybody_gets_the_next_frame_and_nobody_the_one_after(requests: SnapshotRequests):
    first, second = asked(requests), asked(requests)
    assert requests.any_left()
    requests.answer(estimate_of(7), HEADER)
    assert not requests.any_left()
    requests.answer(estimate_of(8), HEADER)
    for future in (first, second):
        snapshot = future.result(0)
        assert (snapshot.stamp.sec, snapshot.frame_id) == (3, 'front_optical')
        assert set(snapshot.depth_m.ravel()) == {7}


def test_a_snapshot_keeps_what_the_next_frame_writes_over(requests: SnapshotRequests):
    future, estimate = asked(requests), estimate_of(7)
    requests.answer(estimate, HEADER)
    for array in (estimate.image, estimate.depth_m, *estimate.prediction):
        array[...] = 9
    snapshot = future.result(0)
    for array in (snapshot.image, snapshot.depth_m, snapshot.labels, snapshot.confidence):
        assert set(array.ravel()) == {7}


def test_a_frame_without_depth_makes_a_snapshot_without_it(requests: SnapshotRequests):
    future = asked(requests)
    requests.answer(estimate_of(7, with_depth=False), HEADER)
    assert future.result(0).depth_m is None


def test_who_gave_up_waits_no_longer(requests: SnapshotRequests):
    future = asked(requests)
    assert future.cancel()
    assert not requests.any_left()
    other = asked(requests)
    assert other.cancel()
    requests.answer(estimate_of(7), HEADER)  # given up after any_left() was asked
    assert other.cancelled()


def test_who_waits_in_vain_hears_why(requests: SnapshotRequests):
    future = asked(requests)
    requests.refuse('no image came')
    assert not requests.any_left()
    with pytest.raises(UserError, match='no image came'):
        future.result(0)
