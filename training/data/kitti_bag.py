"""
A KITTI drive as a rosbag2, for the node to be fed with.

    python -m training.data.kitti_bag DRIVE BAG

Holds what the node and its judging need: images, camera_info, and the scans in their own frame
with the calibration in /tf_static.
"""

import argparse
import sys
from pathlib import Path

from rich.progress import track

from sg_depth_ros.bags.writer import BagStorage
from sg_depth_ros.bags.writer import BagWriter
from sg_depth_ros.bags.writer import FrameTransform
from sg_depth_ros.errors import UserError
from sg_depth_ros.errors import exit_on_user_error
from training.data.sources import SourceOptions
from training.data.sources import open_source
from training.data.sources.kitti import KittiDrive
from training.data.sources.kitti import read_rgb
from training.data.sources.kitti import read_scan

IMAGE_TOPIC = '/camera/image_raw'
CAMERA_INFO_TOPIC = '/camera/camera_info'
LIDAR_TOPIC = '/velodyne/points'
CAMERA_FRAME = 'camera_optical'
LIDAR_FRAME = 'velodyne'


def write_kitti_bag(drive: KittiDrive, path: Path, storage: BagStorage = 'sqlite3') -> None:
    """
    Write a bag of a drive's frames.

    A scan gets the stamp of its image: KITTI triggers the camera when the scanner faces forward.

    :raises UserError: where ``path`` exists or a file of the drive is damaged; nothing is left.
    """
    frames = tuple(zip(drive.frames, drive.images.items()))
    with BagWriter(path, storage) as bag:
        if drive.T_camera_velodyne is not None:
            transform = FrameTransform(CAMERA_FRAME, LIDAR_FRAME, drive.T_camera_velodyne)
            bag.tf_static(frames[0][0].stamp_ns, [transform])
        for frame, (number, image) in track(frames, 'writing the bag', transient=True):
            stamp_ns = frame.stamp_ns
            bag.camera_info(CAMERA_INFO_TOPIC, stamp_ns, CAMERA_FRAME, drive.intrinsics)
            bag.image(IMAGE_TOPIC, stamp_ns, CAMERA_FRAME, read_rgb(image))
            scan = drive.scans.get(number)
            if scan is not None and drive.T_camera_velodyne is not None:
                bag.cloud(LIDAR_TOPIC, stamp_ns, LIDAR_FRAME, read_scan(scan))


def main(arguments: list[str]) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m training.data.kitti_bag',
        description='Write a KITTI drive as a rosbag2: images, camera_info and LiDAR.',
    )
    parser.add_argument('drive', type=Path, help='KITTI raw drive or odometry sequence')
    parser.add_argument('bag', type=Path, help='bag folder to write')
    parser.add_argument('--camera', help='such as 02 or 03 (default: left colour)')
    parser.add_argument(
        '--storage',
        choices=('sqlite3', 'mcap'),
        default='sqlite3',
        help='storage of the bag (default: %(default)s)',
    )
    options = parser.parse_args(arguments)
    drive = open_source(options.drive, SourceOptions(camera=options.camera))
    if not isinstance(drive, KittiDrive):
        raise UserError(f'{options.drive}: is no KITTI drive but a {drive.description}')
    write_kitti_bag(drive, options.bag, options.storage)
    scans = sum(number in drive.scans for number in drive.images)
    print(f'{options.bag}: {len(drive.frames)} images, {scans} scans of {drive.description}')


if __name__ == '__main__':
    sys.exit(exit_on_user_error(lambda: main(sys.argv[1:])))
