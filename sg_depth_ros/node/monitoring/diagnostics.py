"""The DiagnosticArray: a status for each part of the node."""

from collections.abc import Sequence
from typing import NamedTuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from sensor_msgs.msg import CameraInfo

from sg_depth_ros.node.monitoring.health import Health
from sg_depth_ros.node.monitoring.health import KeyValues
from sg_depth_ros.node.monitoring.statistics import Part


class PartStatus(NamedTuple):
    """What is said of one part."""

    part: Part
    health: Health
    values: KeyValues


def diagnostic_array(
    node_name: str, statuses: Sequence[PartStatus], stamp: Time
) -> DiagnosticArray:
    """
    Return the message.

    :param node_name: fully qualified; the statuses are named after it, as in
        ``front/depth_node: engine``.
    """
    name = node_name.lstrip('/')
    array = DiagnosticArray()
    array.header.stamp = stamp
    array.status = [
        DiagnosticStatus(
            name=f'{name}: {status.part}',
            hardware_id=name,
            level=bytes([status.health.level]),
            message=status.health.message,
            values=[KeyValue(key=key, value=value) for key, value in status.values],
        )
        for status in statuses
    ]
    return array


def camera_info_values(topic: str, info: CameraInfo | None) -> KeyValues:
    """Return what is known of the camera: keys and values."""
    if info is None:
        return [('topic', topic), ('received', 'no')]
    return [
        ('topic', topic),
        ('received', 'yes'),
        ('size', f'{info.width}x{info.height}'),
        ('distortion_model', info.distortion_model),
        ('frame_id', info.header.frame_id),
    ]
