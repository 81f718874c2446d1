"""A drive of published depth, judged frame by frame."""

import json

import numpy as np
import pytest
from tiny_bag import write_tiny_bag
from tiny_model import tiny_contract

from sg_depth_ros.bags.bag import StampedImage
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.classes import UNKNOWN_ID
from sg_depth_ros.replay.ground_truth import GroundTruth
from sg_depth_ros.replay.judging import DriveJudge
from sg_depth_ros.replay.metric_blocks import drive_lines
from sg_depth_ros.replay.recorded_drive import BagOptions
from sg_depth_ros.replay.recorded_drive import recorded_camera

FRAMES = 12


@pytest.fixture(scope='module')
def bag_path(tmp_path_factory):
    path = tmp_path_factory.mktemp('bag') / 'bag'
    write_tiny_bag(path, tiny_contract(160, 64), frames=FRAMES)
    return path


def published_road_m(contract):
    """Return the road under a camera at 1.5 m; beyond the model's range it is infinite."""
    camera = contract.intrinsics
    row = np.maximum(np.arange(camera.height) - camera.cy, 1e-9)
    road_m = np.repeat(1.5 * camera.fy / row[:, None], camera.width, axis=1)
    return np.where(road_m > contract.max_depth_m, np.inf, road_m).astype(np.float32)


def judge(bag_path, contract, depths):
    with open_bag(bag_path) as bag:
        camera = recorded_camera(bag, BagOptions())
        truth = GroundTruth(why_not='The bag has no LiDAR.')
        judging = DriveJudge(truth, contract, camera, BagOptions())
        labels = np.full((64, 160), UNKNOWN_ID, np.uint8)
        images: list[StampedImage] = list(bag.images(camera.topics))
        for recorded, depth_m in zip(images, depths):
            judging.add(recorded, depth_m, labels, camera.intrinsics)
    return judging.result()


@pytest.mark.parametrize('metric', [True, False])
def test_holes_and_jumps_are_counted_without_ground_truth(bag_path, metric: bool):
    contract = tiny_contract(160, 64, metric=metric)
    depths = [published_road_m(contract) for _ in range(FRAMES)]
    depths[2][50:54, 60:80] = np.inf  # 80 pixels of a near car
    depths[4][50, 60:64] = contract.max_depth_m
    depths[6] = None  # nothing was published
    depths[8][:, :20] = np.nan  # seen by no pixel of the original
    depths[10] *= np.float32(1.05)
    drive = judge(bag_path, contract, depths)
    infinite = drive.infinite_depth
    assert (infinite.frames, infinite.pixels) == (1, 84)
    assert (infinite.frames_without_plane, infinite.all_frames) == (0, 11)
    assert drive.depth_change.pairs == 9
    assert drive.temporal_scale is None
    document = drive.to_json()
    assert document['infinite_depth']['pixels'] == 84
    assert document['why'] == 'The bag has no LiDAR.'
    json.dumps(document, allow_nan=False)
    lines = drive_lines(infinite, drive.temporal_scale, drive.depth_change)
    assert '1 of 11 frames' in lines[0]
    assert len(lines) == 2
