"""
Publishes where the camera is mounted: base_link -> camera_link -> camera_optical_frame.

    ros2 launch sg_depth_ros camera_tf.launch.py mount_xyz:='1.6 0 1.4' mount_rpy:='0 0.05 0' \\
        optical_frame:=front_camera_optical_frame

For bags and vehicles without a description (URDF) that says so. Frames follow REP 103: x forward,
y left, z up; in the optical frame x right, y down, z forward.
"""

from math import pi

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = (
    DeclareLaunchArgument(
        'base_frame', default_value='base_link', description='Frame of the vehicle.'
    ),
    DeclareLaunchArgument(
        'camera_frame',
        default_value='camera_link',
        description='Frame of the mounted camera, with x forward.',
    ),
    DeclareLaunchArgument(
        'optical_frame',
        default_value='camera_optical_frame',
        description='frame_id of the images; depth and cloud have the same.',
    ),
    DeclareLaunchArgument(
        'mount_xyz',
        default_value='0 0 1.5',
        description='Position of the camera in base_frame: forward, left, up, in metres.',
    ),
    DeclareLaunchArgument(
        'mount_rpy',
        default_value='0 0 0',
        description='Roll, pitch and yaw of the camera in base_frame, in radians; a camera that '
        'looks down has a positive pitch.',
    ),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of the node, one for each camera.'
    ),
)
OPTICAL_RPY = (-pi / 2, 0.0, -pi / 2)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start_publishers)])


def _start_publishers(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def numbers(name: str) -> tuple[float, ...]:
        words = value(name).replace(',', ' ').split()
        try:
            x, y, z = (float(word) for word in words)
        except ValueError:
            raise RuntimeError(f"{name}: '{value(name)}' is not three numbers") from None
        return x, y, z

    def publisher(
        name: str, parent: str, child: str, xyz: tuple[float, ...], rpy: tuple[float, ...]
    ) -> Node:
        options = ('--x', '--y', '--z', '--roll', '--pitch', '--yaw')
        pose = [word for pair in zip(options, map(repr, xyz + rpy)) for word in pair]
        return Node(
            package='tf2_ros',
            executable='static_transform_publisher',
            namespace=value('namespace'),
            name=name,
            arguments=[*pose, '--frame-id', parent, '--child-frame-id', child],
        )

    camera = value('camera_frame')
    xyz, rpy = numbers('mount_xyz'), numbers('mount_rpy')
    return [
        publisher('base_to_camera', value('base_frame'), camera, xyz, rpy),
        publisher('camera_to_optical', camera, value('optical_frame'), (0.0,) * 3, OPTICAL_RPY),
    ]
