"""
Runs depth_node on a camera of the vehicle.

    ros2 launch sg_depth_ros depth.launch.py model:=model.onnx \\
        image:=/camera/image_raw camera_info:=/camera/camera_info
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.substitutions import EnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

CONFIG = Path(get_package_share_directory('sg_depth_ros')) / 'config'
PROFILE_VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'

ARGUMENTS = (
    DeclareLaunchArgument(
        'params_file',
        default_value=str(CONFIG / 'depth_node.yaml'),
        description='YAML file of node parameters; the arguments below that are set override it.',
    ),
    DeclareLaunchArgument(
        'namespace', default_value='', description='Namespace of the node, one for each camera.'
    ),
    DeclareLaunchArgument(
        'node_name', default_value='depth_node', description='Name of the node.'
    ),
    DeclareLaunchArgument(
        'use_sim_time',
        default_value='false',
        choices=['true', 'false'],
        description='Take the time from /clock, as with a bag played with --clock.',
    ),
    DeclareLaunchArgument(
        'image', default_value='image', description='Topic of the images (sensor_msgs/Image).'
    ),
    DeclareLaunchArgument(
        'camera_info',
        default_value='camera_info',
        description='Topic of their camera_info (sensor_msgs/CameraInfo).',
    ),
    DeclareLaunchArgument(
        'model', default_value='', description='model.onnx to run; empty: as params_file says.'
    ),
    DeclareLaunchArgument(
        'engine',
        default_value='',
        choices=['', 'auto', 'onnxruntime', 'tensorrt'],
        description='Library that runs the model; empty: as params_file says.',
    ),
    DeclareLaunchArgument(
        'processing_mode',
        default_value='',
        choices=['', 'latest', 'every'],
        description='latest: the newest image, for driving. every: each image in order, for '
        'evaluation. Empty: as params_file says.',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='true',
        choices=['true', 'false'],
        description='Configure and activate at start; false leaves that to a lifecycle manager.',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Least severity that the node logs.',
    ),
    DeclareLaunchArgument(
        'dds_profile',
        default_value=EnvironmentVariable(
            PROFILE_VARIABLE, default_value=str(CONFIG / 'fastdds_large_images.xml')
        ),
        description='Fast DDS profile, so that large images arrive; the camera driver and the bag '
        f'player need it too, as {PROFILE_VARIABLE}. none: what Fast DDS has by default.',
    ),
)


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=_start_node)])


def _start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def flag(name: str) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=bool)

    overrides = {'use_sim_time': flag('use_sim_time'), 'autostart': flag('autostart')}
    for name in ('model', 'engine', 'processing_mode'):
        if value(name):
            overrides[name] = ParameterValue(LaunchConfiguration(name), value_type=str)
    profile = value('dds_profile')
    environment = {} if profile == 'none' else {PROFILE_VARIABLE: profile}
    return [
        Node(
            package='sg_depth_ros',
            executable='depth_node',
            namespace=value('namespace'),
            name=value('node_name'),
            parameters=[value('params_file'), overrides],
            remappings=[('~/image', value('image')), ('~/camera_info', value('camera_info'))],
            ros_arguments=['--log-level', value('log_level')],
            additional_env=environment,
            output='screen',
            emulate_tty=True,
        )
    ]
