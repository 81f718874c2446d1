import math

import numpy as np
import pytest

from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.connecting import transforms_between
from sg_depth_ros.bags.transforms import HOLD_NS
from sg_depth_ros.bags.transforms import MovingTransform
from sg_depth_ros.bags.transforms import PoseSample
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform


def test_moving_transforms_are_interpolated_along_the_shorter_arc():
    def about_z(degrees, sign=1):
        half = math.radians(degrees) / 2
        return sign * math.cos(half), 0.0, 0.0, sign * math.sin(half)

    moving = MovingTransform(
        [
            PoseSample(2 * 10**9, (4.0, 0.0, 0.0), about_z(80, sign=-1)),
            PoseSample(10**9, (2.0, 0.0, 0.0), about_z(20)),
        ]
    )
    T = moving.at(1_250_000_000)
    assert T[:3, 3].tolist() == [2.5, 0, 0]
    assert math.degrees(math.atan2(T[1, 0], T[0, 0])) == pytest.approx(35)
    assert moving.at(10**9)[0, 3] == 2.0
    assert moving.at(10**9 - HOLD_NS)[0, 3] == 2.0
    assert moving.at(10**9 - HOLD_NS - 1) is None
    assert moving.at(2 * 10**9 + HOLD_NS + 1) is None


def test_static_and_moving_transforms_are_chained(tmp_path):
    def shifted(x):
        T = np.eye(4)
        T[0, 3] = x
        return T

    with BagWriter(tmp_path / 'bag') as writer:
        writer.tf_static(0, [FrameTransform('base', 'camera', shifted(1.0))])
        for second in range(3):
            poses = [
                FrameTransform('base', 'mast', shifted(10.0 * second)),
                FrameTransform('odom', 'base', shifted(1000.0 * second)),
            ]
            writer.tf(second * 10**9, poses)
        writer.tf_static(0, [FrameTransform('mast', 'lidar', shifted(0.5))])
    with open_bag(tmp_path / 'bag') as bag:
        connected = transforms_between(bag, 'camera', 'lidar')
        assert connected.at(1_500_000_000) == pytest.approx(shifted(14.5))
        assert set(connected.moving) == {('base', 'mast')}
        assert transforms_between(bag, 'camera', 'map') is None
