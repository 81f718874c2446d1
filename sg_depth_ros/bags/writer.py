"""Write a rosbag2 without a ROS installation: camera, odometry, LiDAR, depth and transforms."""

import shutil
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Literal

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

from sg_depth_ros.bags.message_maker import FrameTransform
from sg_depth_ros.bags.message_maker import MessageMaker
from sg_depth_ros.camera import Intrinsics
from sg_depth_ros.errors import UserError

__all__ = ['BagStorage', 'BagWriter', 'FrameTransform']

BagStorage = Literal['sqlite3', 'mcap']

_STORAGE = {'sqlite3': StoragePlugin.SQLITE3, 'mcap': StoragePlugin.MCAP}
# The format of Jazzy; Iron, Jazzy, Kilted and Rolling read it.
_BAG_FORMAT_VERSION: Literal[9] = 9


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
        self._make = MessageMaker(self._store)
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
        self._write(topic, stamp_ns, received_ns, self._make.image(stamp_ns, frame_id, image))

    def compressed_image(
        self, topic: str, stamp_ns: int, frame_id: str, data: bytes, image_format: str
    ) -> None:
        """
        Write a ``sensor_msgs/CompressedImage``.

        :param data: a whole image file.
        :param image_format: ``jpeg`` or ``png``.
        """
        message = self._make.compressed_image(stamp_ns, frame_id, data, image_format)
        self._write(topic, stamp_ns, None, message)

    def camera_info(
        self,
        topic: str,
        stamp_ns: int,
        frame_id: str,
        intrinsics: Intrinsics,
        received_ns: int | None = None,
    ) -> None:
        """Write a ``sensor_msgs/CameraInfo`` of a rectified camera: D zero, R identity."""
        message = self._make.camera_info(stamp_ns, frame_id, intrinsics)
        self._write(topic, stamp_ns, received_ns, message)

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
        message = self._make.odometry(
            stamp_ns,
            frame_id,
            child_frame_id,
            T_frame_child,
            velocity_m_s,
            angular_velocity_rad_s,
        )
        self._write(topic, stamp_ns, received_ns, message)

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
        self._write(topic, stamp_ns, received_ns, self._make.cloud(stamp_ns, frame_id, points))

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
        message = self._make.organised_cloud(stamp_ns, frame_id, points)
        self._write(topic, stamp_ns, received_ns, message)

    def tf_static(self, stamp_ns: int, transforms: Sequence[FrameTransform]) -> None:
        """Write one ``/tf_static`` message, offered as transient local so that it is latched."""
        self._write('/tf_static', stamp_ns, None, self._make.transforms(stamp_ns, transforms))

    def tf(self, stamp_ns: int, transforms: Sequence[FrameTransform]) -> None:
        """Write one ``/tf`` message: where frames are at a stamp."""
        self._write('/tf', stamp_ns, None, self._make.transforms(stamp_ns, transforms))

    def _write(self, topic: str, stamp_ns: int, received_ns: int | None, message: Any) -> None:
        assert self._writer is not None, 'write inside the with block'
        message_type = message.__msgtype__
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic,
                message_type,
                typestore=self._store,
                offered_qos_profiles=[_qos(latched=topic == '/tf_static')],
            )
        data = self._store.serialize_cdr(message, message_type)
        received_ns = stamp_ns if received_ns is None else received_ns
        self._writer.write(self._connections[topic], received_ns, data)


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
