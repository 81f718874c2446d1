from pathlib import Path

import cv2
import numpy as np
import pytest

from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError
from training.data.kitti_bag import main
from training.data.kitti_bag import write_kitti_bag
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.sources.kitti import KittiDrive
from training.data.sources.source import SourceFrame

CAMERA = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)


@pytest.fixture
def drive(tmp_path: Path) -> KittiDrive:
    """Three frames, the middle one with a scan, numbered with a gap."""
    rng = np.random.default_rng(0)
    images = {number: tmp_path / f'{number:010d}.png' for number in (4, 5, 7)}
    for path in images.values():
        cv2.imwrite(str(path), rng.integers(0, 255, (48, 64, 3), np.uint8))
    scan = tmp_path / '0000000005.bin'
    points = np.c_[rng.uniform(5, 30, 400), rng.uniform(-9, 9, (400, 2)), rng.uniform(0, 1, 400)]
    scan.write_bytes(points.astype('<f4').tobytes())
    # KITTI's axes: the scanner looks along x, the camera along z.
    T_camera_velodyne = np.array(
        [[0.0, -1.0, 0.0, 0.06], [0.0, 0.0, -1.0, -0.08], [1.0, 0.0, 0.0, -0.27], [0, 0, 0, 1]]
    )
    return KittiDrive(
        name='tiny',
        description='tiny drive',
        intrinsics=CAMERA,
        frames=tuple(SourceFrame(1_317_042_272_000_000_000 + i * 10**8) for i in range(3)),
        notes=(),
        images=images,
        labels={},
        scans={5: scan},
        T_camera_velodyne=T_camera_velodyne,
    )


def test_the_bag_gives_back_images_stamps_camera_and_projected_scans(drive, tmp_path):
    write_kitti_bag(drive, tmp_path / 'bag')
    recorded = open_source(tmp_path / 'bag', SourceOptions())
    assert recorded.intrinsics == drive.intrinsics
    assert [f.stamp_ns for f in recorded.frames] == [f.stamp_ns for f in drive.frames]
    pairs = list(zip(recorded.read(), drive.read()))
    assert len(pairs) == 3
    for found, expected in pairs:
        np.testing.assert_array_equal(found.image, expected.image)
    assert pairs[0][0].lidar_m is None
    assert np.count_nonzero(pairs[1][1].lidar_m) > 50
    np.testing.assert_allclose(pairs[1][0].lidar_m, pairs[1][1].lidar_m, atol=1e-4)


def test_a_truncated_scan_leaves_no_bag(drive, tmp_path):
    drive.scans[5].write_bytes(b'too short')
    with pytest.raises(UserError, match='truncated scan'):
        write_kitti_bag(drive, tmp_path / 'bag')
    assert not (tmp_path / 'bag').exists()


def test_a_bag_is_no_kitti_drive(drive, tmp_path):
    write_kitti_bag(drive, tmp_path / 'bag')
    with pytest.raises(UserError, match='no KITTI drive'):
        main([str(tmp_path / 'bag'), str(tmp_path / 'again')])
