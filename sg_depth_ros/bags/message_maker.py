"""ROS messages of numbers and arrays, without a ROS installation; what BagWriter writes."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys.store import Typestore

from sg_depth_ros.bags.transforms import quaternion_from_rotation
from sg_depth_ros.camera import Intrinsics

_CLOUD_FIELDS = ('x', 'y', 'z', 'intensity')
# (type, channels) of pixels -> their name in sensor_msgs/Image
_ENCODINGS = {('uint8', ()): 'mono8', ('uint8', (3,)): 'rgb8', ('float32', ()): '32FC1'}


class FrameTransform(NamedTuple):
    """Where a frame sits in its parent: for good in /tf_static, at its stamp in /tf."""

    parent: str
    child: str
    T_parent_child: NDArray[np.floating]  # [3 or 4, 4]


class MessageMaker:
    """Makes messages of the types of one ROS distribution; each knows its ``__msgtype__``."""

    def __init__(self, store: Typestore) -> None:
        """Take the types' definitions."""
        self._store = store

    def image(
        self, stamp_ns: int, frame_id: str, image: NDArray[np.uint8] | NDArray[np.float32]
    ) -> Any:
        """
        Make a ``sensor_msgs/Image``.

        :param image: uint8 (H, W, 3) becomes ``rgb8``, uint8 (H, W) ``mono8``, float32 (H, W)
            ``32FC1``.
        """
        height, width = image.shape[:2]
        return self._make(
            'sensor_msgs/msg/Image',
            header=self._header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding=_ENCODINGS[image.dtype.name, image.shape[2:]],
            is_bigendian=0,
            step=image.nbytes // height,
            data=np.ascontiguousarray(image).reshape(-1).view(np.uint8),
        )

    def compressed_image(
        self, stamp_ns: int, frame_id: str, data: bytes, image_format: str
    ) -> Any:
        """Make a ``sensor_msgs/CompressedImage`` of a whole image file."""
        return self._make(
            'sensor_msgs/msg/CompressedImage',
            header=self._header(stamp_ns, frame_id),
            format=image_format,
            data=np.frombuffer(data, np.uint8),
        )

    def camera_info(self, stamp_ns: int, frame_id: str, intrinsics: Intrinsics) -> Any:
        """Make a ``sensor_msgs/CameraInfo`` of a rectified camera: D zero, R identity."""
        projection = np.zeros((3, 4))
        projection[:, :3] = intrinsics.matrix()
        return self._make(
            'sensor_msgs/msg/CameraInfo',
            header=self._header(stamp_ns, frame_id),
            height=intrinsics.height,
            width=intrinsics.width,
            distortion_model='plumb_bob',
            d=np.zeros(5),
            k=intrinsics.matrix().reshape(-1),
            r=np.eye(3).reshape(-1),
            p=projection.reshape(-1),
            binning_x=0,
            binning_y=0,
            roi=self._make(
                'sensor_msgs/msg/RegionOfInterest',
                x_offset=0,
                y_offset=0,
                height=0,
                width=0,
                do_rectify=False,
            ),
        )

    def odometry(
        self,
        stamp_ns: int,
        frame_id: str,
        child_frame_id: str,
        T_frame_child: NDArray[np.floating],  # [3 or 4, 4]
        velocity_m_s: Sequence[float],
        angular_velocity_rad_s: Sequence[float],
    ) -> Any:
        """Make a ``nav_msgs/Odometry``; the velocities are in the child's frame."""
        x, y, z = (float(v) for v in np.asarray(T_frame_child)[:3, 3])
        pose = self._make(
            'geometry_msgs/msg/Pose',
            position=self._make('geometry_msgs/msg/Point', x=x, y=y, z=z),
            orientation=self._quaternion(T_frame_child),
        )
        twist = self._make(
            'geometry_msgs/msg/Twist',
            linear=self._vector(velocity_m_s),
            angular=self._vector(angular_velocity_rad_s),
        )
        return self._make(
            'nav_msgs/msg/Odometry',
            header=self._header(stamp_ns, frame_id),
            child_frame_id=child_frame_id,
            pose=self._make(
                'geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=np.zeros(36)
            ),
            twist=self._make(
                'geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=np.zeros(36)
            ),
        )

    def cloud(self, stamp_ns: int, frame_id: str, points: NDArray[np.floating]) -> Any:
        """
        Make a ``sensor_msgs/PointCloud2`` of float32 fields x, y, z and, if given, intensity.

        :param points: (N, 3) or (N, 4), metres and intensity.
        """
        count, columns = points.shape
        field = self._store.types['sensor_msgs/msg/PointField']
        fields = [
            field(name=name, offset=4 * i, datatype=field.FLOAT32, count=1)  # type: ignore[attr-defined]
            for i, name in enumerate(_CLOUD_FIELDS[:columns])
        ]
        return self._make(
            'sensor_msgs/msg/PointCloud2',
            header=self._header(stamp_ns, frame_id),
            height=1,
            width=count,
            fields=fields,
            is_bigendian=False,
            point_step=4 * columns,
            row_step=4 * columns * count,
            data=np.ascontiguousarray(points, '<f4').view(np.uint8).reshape(-1),
            is_dense=bool(np.isfinite(points).all()),
        )

    def organised_cloud(self, stamp_ns: int, frame_id: str, points: NDArray[np.void]) -> Any:
        """
        Make a ``sensor_msgs/PointCloud2`` with the rows and columns of an image.

        :param points: (H, W) of named fields, as ``PointCloudBuilder`` gives them.
        """
        height, width = points.shape
        names = [n for n in points.dtype.names or () if points.dtype[n].kind != 'V']
        return self._make(
            'sensor_msgs/msg/PointCloud2',
            header=self._header(stamp_ns, frame_id),
            height=height,
            width=width,
            fields=[self._field(points.dtype, name) for name in names],
            is_bigendian=False,
            point_step=points.itemsize,
            row_step=points.itemsize * width,
            data=np.ascontiguousarray(points).view(np.uint8).reshape(-1),
            is_dense=False,
        )

    def transforms(self, stamp_ns: int, transforms: Sequence[FrameTransform]) -> Any:
        """Make a ``tf2_msgs/TFMessage``."""
        return self._make(
            'tf2_msgs/msg/TFMessage',
            transforms=[
                self._make(
                    'geometry_msgs/msg/TransformStamped',
                    header=self._header(stamp_ns, t.parent),
                    child_frame_id=t.child,
                    transform=self._make(
                        'geometry_msgs/msg/Transform',
                        translation=self._vector(np.asarray(t.T_parent_child)[:3, 3]),
                        rotation=self._quaternion(t.T_parent_child),
                    ),
                )
                for t in transforms
            ],
        )

    def _make(self, message_type: str, **fields: Any) -> Any:
        return self._store.types[message_type](**fields)

    def _field(self, point: 'np.dtype[np.void]', name: str) -> Any:
        assert point.fields is not None
        kind, offset = point.fields[name][:2]
        field: Any = self._store.types['sensor_msgs/msg/PointField']
        datatype = {'f4': field.FLOAT32, 'u1': field.UINT8}[kind.str[1:]]
        return field(name=name, offset=offset, datatype=datatype, count=1)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        stamp = self._make('builtin_interfaces/msg/Time', sec=seconds, nanosec=nanoseconds)
        return self._make('std_msgs/msg/Header', stamp=stamp, frame_id=frame_id)

    def _vector(self, values: Sequence[float] | NDArray[np.floating]) -> Any:
        x, y, z = (float(v) for v in values)
        return self._make('geometry_msgs/msg/Vector3', x=x, y=y, z=z)

    def _quaternion(self, transform: NDArray[np.floating]) -> Any:
        x, y, z, w = quaternion_from_rotation(np.asarray(transform)[:3, :3])
        return self._make('geometry_msgs/msg/Quaternion', x=x, y=y, z=z, w=w)
