"""What single ROS messages say, as numbers and arrays; for messages of rosbags and of rclpy."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# sensor_msgs/PointField's datatypes that coordinates come in.
_FLOAT_FIELDS: dict[int, str] = {7: 'f4', 8: 'f8'}


def stamp_ns(header: Any) -> int:
    """Return a std_msgs/Header's stamp in nanoseconds."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


def cloud_points(message: Any) -> NDArray[np.float32]:
    """
    Read x, y, z of a sensor_msgs/PointCloud2 by its fields.

    :param message: organised or not, either byte order, rows may be padded.
    :return: (N, 3) metres; points that are not finite are left out.
    :raises ValueError: where fields are missing or the data is too short.
    """
    fields = {f.name: f for f in message.fields}
    missing = [name for name in 'xyz' if name not in fields]
    if missing:
        raise ValueError(f'no field {", ".join(missing)}; fields: {", ".join(fields) or "none"}')
    formats = [_FLOAT_FIELDS.get(fields[name].datatype) for name in 'xyz']
    if None in formats:
        raise ValueError('x, y, z are not float32 or float64')
    order = '>' if message.is_bigendian else '<'
    try:
        point = np.dtype(
            {
                'names': list('xyz'),
                'formats': [f'{order}{f}' for f in formats],
                'offsets': [fields[name].offset for name in 'xyz'],
                'itemsize': message.point_step,
            }
        )
    except ValueError as error:
        raise ValueError(f'fields do not fit a point_step of {message.point_step}') from error
    height, width, row_step = int(message.height), int(message.width), int(message.row_step)
    row_bytes = width * point.itemsize
    # Some drivers leave row_step of a single row at zero.
    row_step = row_bytes if height == 1 else row_step
    data = np.frombuffer(message.data, np.uint8)
    if row_step < row_bytes or data.size < row_step * height:
        raise ValueError(f'{data.size} bytes are too few for {width}x{height} points')
    rows = data[: row_step * height].reshape(height, row_step)[:, :row_bytes]
    records = np.ascontiguousarray(rows).reshape(-1).view(point)
    points = np.stack([records[name] for name in 'xyz'], axis=1).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]


def speed_m_s(message: Any) -> float:
    """
    Return the speed of an Odometry, TwistStamped or TwistWithCovarianceStamped.

    The length of the linear velocity, which does not depend on the frame's axes; negative where
    the vehicle mostly moves backwards along x.
    """
    twist = message.twist
    linear = (twist.twist if hasattr(twist, 'twist') else twist).linear
    speed = math.sqrt(linear.x**2 + linear.y**2 + linear.z**2)
    return -speed if linear.x < -0.5 * speed else speed


def position_m(message: Any) -> tuple[float, float, float] | None:
    """Return where an Odometry is, or None for messages without a pose."""
    if not hasattr(message, 'pose'):
        return None
    position = message.pose.pose.position
    return float(position.x), float(position.y), float(position.z)


def has_fix(message: Any) -> bool:
    """Return whether a NavSatFix is a position: status and numbers say so."""
    latitude, longitude = float(message.latitude), float(message.longitude)
    # Receivers that leave the status at zero (a fix) send 0, 0 or NaN before they have one.
    placed = math.isfinite(latitude) and math.isfinite(longitude) and (latitude or longitude)
    in_range = abs(latitude) <= 90.0 and abs(longitude) <= 360.0
    return bool(int(message.status.status) >= 0 and placed and in_range)
