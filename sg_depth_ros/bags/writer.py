"""Write a rosbag2 without a ROS installation: camera, odometry, LiDAR, depth and transforms."""

import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Literal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores
from rosbags.typesys import get_typestore

from sg_depth_ros.bags.transforms import quaternion_from_rotation
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError

BagStorage = Literal['sqlite3', 'mcap']

_STORAGE = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}
# The format of Jazzy; Iron, Jazzy, Kilted and Rolling read it.
_BAG_FORMAT_VERSION: Literal[9] = 9
_CLOUD_FIELDS = ('x', 'y', 'z', 'intensity')
# (type, channels) of pixels -> their name in sensor_msgs/Image
_ENCODINGS = {('uint8', ()): 'mono8', ('uint8', (3,)): 'rgb8', ('float32', ()): '32FC1'}


class FrameTransform(NamedTuple):
    """Where a frame sits in its parent: for good in /tf_static, at its stamp in /tf."""

    parent: str
    child: str
    T_parent_child: NDArray[np.floating]  # [3 or 4, 4]


class BagWriter:
    """
    A rosbag2 being written; use as a context manager.

    The folder appears under its name only when everything is in it. An exception inside the
    ``with`` leaves nothing behind. Messages are written in the order of the calls, received at
    their stamp unless ``received_ns`` says otherwise.
    """

    def __init__(
        self,
        path: Path,
        storage: BagStorage = 'sqlite3',
        about: Mapping[str, str] | None = None,
    ) -> None:
        """
        Prepare to write the bag folder ``path``.

        :param about: what its metadata say of it: ``custom_data`` of metadata.yaml.
        :raises UserError: where something is there already.
        """
        if path.exists():
            raise UserError(f'{path}: exists already; name a new bag folder or remove this one')
        self._path = path
        # The files in a bag carry its folder's name, so the temporary folder is its parent.
        self._temporary = path.parent / f'.{path.name}.partial'
        self._storage = _STORAGE[storage]
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Connection] = {}
        self._about = dict(about or {})
        self._writer: Writer | None = None

    def __enter__(self) -> 'BagWriter':
        """Open the temporary bag."""
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        self._writer = Writer(
            self._temporary / self._path.name,
            version=_BAG_FORMAT_VERSION,
            storage_plugin=self._storage,
        )
        for key, value in self._about.items():
            self._writer.set_custom_data(key, value)
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the bag its name, or remove it after an exception."""
        assert self._writer is not None
        try:
            if kind is None:
                self._writer.close()
                (self._temporary / self._path.name).rename(self._path)
            else:
                self._writer.abort()
        finally:
            self._writer = None
            shutil.rmtree(self._temporary, ignore_errors=True)

    def image(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        image: NDArray[np.uint8] | NDArray[np.float32],
        received_ns: int | None = None,
    ) -> None:
        """
        Write a ``sensor_msgs/Image``.

        :param image: uint8 (H, W, 3) becomes ``rgb8``, uint8 (H, W) ``mono8``, float32 (H, W)
            ``32FC1``: depth in metres, NaN where unknown, +Inf where too far (REP 118).
        """
        height, width = image.shape[:2]
        encoding = _ENCODINGS[image.dtype.name, image.shape[2:]]
        self._write(
            topic,
            'sensor_msgs/msg/Image',
            stamp_ns if received_ns is None else received_ns,
            header=self._header(stamp_ns, frame_id),
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=0,
            step=image.nbytes // height,
            data=np.ascontiguousarray(image).reshape(-1).view(np.uint8),
        )

    def compressed_image(
        self, topic: str, stamp_ns: int, frame_id: str, data: bytes, image_format: str
    ) -> None:
        """
        Write a ``sensor_msgs/CompressedImage``.

        :param data: a whole image file.
        :param image_format: ``jpeg`` or ``png``.
        """
        self._write(
            topic,
            'sensor_msgs/msg/CompressedImage',
            stamp_ns,
            header=self._header(stamp_ns, frame_id),
            format=image_format,
            data=np.frombuffer(data, np.uint8),
        )

    def camera_info(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        intrinsics: Intrinsics,
        received_ns: int | None = None,
    ) -> None:
        """Write a ``sensor_msgs/CameraInfo`` of a rectified camera: D zero, R identity."""
        projection = np.zeros((3, 4))
        projection[:, :3] = intrinsics.matrix()
        region = self._store.types['sensor_msgs/msg/RegionOfInterest']
        self._write(
            topic,
            'sensor_msgs/msg/CameraInfo',
            stamp_ns if received_ns is None else received_ns,
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
            roi=region(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False),
        )

    def odometry(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        child_frame_id: str,
        T_frame_child: NDArray[np.floating],
        velocity_m_s: Sequence[float],
        angular_velocity_rad_s: Sequence[float] = (0.0, 0.0, 0.0),
        received_ns: int | None = None,
    ) -> None:
        """
        Write a ``nav_msgs/Odometry``.

        :param T_frame_child: (3 or 4, 4), pose of the child in ``frame_id``, metres.
        :param velocity_m_s: x, y, z in the child's frame, as the message's definition asks.
        """
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
        self._write(
            topic,
            'nav_msgs/msg/Odometry',
            stamp_ns if received_ns is None else received_ns,
            header=self._header(stamp_ns, frame_id),
            child_frame_id=child_frame_id,
            pose=self._make(
                'geometry_msgs/msg/PoseWithCovariance', pose=pose, covariance=np.zeros(36)
            ),
            twist=self._make(
                'geometry_msgs/msg/TwistWithCovariance', twist=twist, covariance=np.zeros(36)
            ),
        )

    def cloud(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        points: NDArray[np.floating],
        received_ns: int | None = None,
    ) -> None:
        """
        Write a ``sensor_msgs/PointCloud2`` of float32 fields x, y, z and, if given, intensity.

        :param points: (N, 3) or (N, 4), metres and intensity.
        """
        count, columns = points.shape
        field = self._store.types['sensor_msgs/msg/PointField']
        fields = [
            field(name=name, offset=4 * i, datatype=field.FLOAT32, count=1)  # type: ignore[attr-defined]
            for i, name in enumerate(_CLOUD_FIELDS[:columns])
        ]
        self._write(
            topic,
            'sensor_msgs/msg/PointCloud2',
            stamp_ns if received_ns is None else received_ns,
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

    def organised_cloud(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        points: NDArray[np.void],
        received_ns: int | None = None,
    ) -> None:
        """
        Write a ``sensor_msgs/PointCloud2`` with the rows and columns of an image.

        :param points: (H, W) of named fields, as ``PointCloudBuilder`` gives them.
        """
        height, width = points.shape
        names = [n for n in points.dtype.names or () if points.dtype[n].kind != 'V']
        self._write(
            topic,
            'sensor_msgs/msg/PointCloud2',
            stamp_ns if received_ns is None else received_ns,
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

    def tf_static(self, stamp_ns: int, transforms: Sequence[FrameTransform]) -> None:
        """Write one ``/tf_static`` message, offered as transient local so that it is latched."""
        self._transforms('/tf_static', stamp_ns, transforms)

    def tf(self, stamp_ns: int, transforms: Sequence[FrameTransform]) -> None:
        """Write one ``/tf`` message: where frames are at a stamp."""
        self._transforms('/tf', stamp_ns, transforms)

    def _transforms(self, topic: str, stamp_ns: int, transforms: Sequence[FrameTransform]) -> None:
        self._write(
            topic,
            'tf2_msgs/msg/TFMessage',
            stamp_ns,
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

    def _write(self, topic: str, message_type: str, received_ns: int, **fields: Any) -> None:
        assert self._writer is not None, 'write inside the with block'
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                message_type,
                typestore=self._store,
                offered_qos_profiles=[_qos(latched=topic == '/tf_static')],
            )
        message = self._make(message_type, **fields)
        data = self._store.serialize_cdr(message, message_type)
        self._writer.write(self._connections[topic], received_ns, data)

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


def _qos(latched: bool) -> Qos:
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    unlimited = QosTime(2147483647, 4294967295)
    return Qos(
        QosHistory.KEEP_LAST,
        10,
        QosReliability.RELIABLE,
        durability,
        unlimited,
        unlimited,
        QosLiveliness.AUTOMATIC,
        unlimited,
        False,
    )
