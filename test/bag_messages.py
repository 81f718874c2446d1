"""Bags of hand-made messages, for what BagWriter does not write: for tests."""

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)


def make(kind, **fields):
    return STORE.types[kind](**fields)


def header(stamp_ns, frame_id):
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    stamp = make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
    return make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)


def compressed_image(stamp_ns, rgb, suffix='.png'):
    _, data = cv2.imencode(suffix, np.ascontiguousarray(rgb[..., ::-1]))
    return make(
        'sensor_msgs/msg/CompressedImage',
        header=header(stamp_ns, 'camera'),
        format=f'rgb8; {suffix[1:]} compressed bgr8',
        data=data.reshape(-1),
    )


def camera_info(stamp_ns, intrinsics, *, model='plumb_bob', d=(), p=None, roi=None, binning=0):
    left, top, width, height = roi or (0, 0, 0, 0)
    return make(
        'sensor_msgs/msg/CameraInfo',
        header=header(stamp_ns, 'camera'),
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model=model,
        d=np.array(d, np.float64),
        k=intrinsics.matrix().reshape(-1),
        r=np.eye(3).reshape(-1),
        p=np.zeros(12) if p is None else np.hstack([p.matrix(), np.zeros((3, 1))]).reshape(-1),
        binning_x=binning,
        binning_y=binning,
        roi=make(
            'sensor_msgs/msg/RegionOfInterest',
            x_offset=left,
            y_offset=top,
            height=height,
            width=width,
            do_rectify=False,
        ),
    )


def vector(x, y, z):
    return make('geometry_msgs/msg/Vector3', x=float(x), y=float(y), z=float(z))


def twist_stamped(stamp_ns, x, y=0.0, z=0.0):
    twist = make('geometry_msgs/msg/Twist', linear=vector(x, y, z), angular=vector(0, 0, 0))
    return make('geometry_msgs/msg/TwistStamped', header=header(stamp_ns, 'base'), twist=twist)


def nav_sat_fix(stamp_ns, latitude, longitude, status=0):
    service = make('sensor_msgs/msg/NavSatStatus', status=status, service=1)
    return make(
        'sensor_msgs/msg/NavSatFix',
        header=header(stamp_ns, 'gnss'),
        status=service,
        latitude=float(latitude),
        longitude=float(longitude),
        altitude=100.0,
        position_covariance=np.zeros(9),
        position_covariance_type=0,
    )


def point_cloud(stamp_ns, points, *, datatype=7, padding=4, row_padding=0, big_endian=False):
    """Write points (H, W, 3), organised, with a leading pad and padded rows."""
    height, width = points.shape[:2]
    scalar = ('>' if big_endian else '<') + {7: 'f4', 8: 'f8'}[datatype]
    size = np.dtype(scalar).itemsize
    point = np.dtype([('pad', 'u1', padding), ('xyz', scalar, 3)])
    records = np.zeros((height, width), point)
    records['xyz'] = points
    rows = records.view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, row_padding)))
    fields = [
        make(
            'sensor_msgs/msg/PointField',
            name=name,
            offset=padding + i * size,
            datatype=datatype,
            count=1,
        )
        for i, name in enumerate('xyz')
    ]
    return make(
        'sensor_msgs/msg/PointCloud2',
        header=header(stamp_ns, 'lidar'),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=big_endian,
        point_step=point.itemsize,
        row_step=rows.shape[1],
        data=rows.reshape(-1),
        is_dense=False,
    )


def write_bag(path: Path, messages, storage='sqlite3', compression=None):
    """Write (topic, received_ns, message) in their order; topics without messages by None."""
    plugin = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}[storage]
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression is not None:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    connections = {}
    with writer:
        for topic, received_ns, message in messages:
            kind = message if isinstance(message, str) else message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            if not isinstance(message, str):
                data = STORE.serialize_cdr(message, kind)
                writer.write(connections[topic], received_ns, data)
    return path
