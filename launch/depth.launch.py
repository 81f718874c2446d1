"""
Runs depth_node on a camera of the vehicle.

    ros2 launch sg_depth_ros depth.launch.py model:=model.onnx \\
        image:=/camera/image_raw camera_info:=/camera/camera_info rviz:=true
"""

from pathlib import Path

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

FOLDER = Path(__file__).parent
AS_FILE_SAYS = 'Empty: as params_file says.'

ARGUMENTS = (
    DeclareLaunchArgument(
        'params_file',
        default_value=str(FOLDER.parent / 'config' / 'depth_node.yaml'),
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
        'image',
        default_value='image',
        description='Topic of the images, also with image_transport compressed without its '
        '/compressed; a relative name lies in namespace.',
    ),
    DeclareLaunchArgument(
        'camera_info',
        default_value='camera_info',
        description='Topic of their camera_info; a relative name lies in namespace.',
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='',
        choices=['', 'raw', 'compressed'],
        description=f'How the images come. {AS_FILE_SAYS}',
    ),
    DeclareLaunchArgument(
        'model', default_value='', description=f'The model.onnx to run. {AS_FILE_SAYS}'
    ),
    DeclareLaunchArgument(
        'engine',
        default_value='',
        choices=['', 'auto', 'onnxruntime', 'tensorrt'],
        description=f'Library that runs the model. {AS_FILE_SAYS}',
    ),
    DeclareLaunchArgument(
        'processing_mode',
        default_value='',
        choices=['', 'latest', 'every'],
        description='latest: the newest image, for driving. every: each image in order, for '
        f'evaluation. {AS_FILE_SAYS}',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='',
        choices=['', 'true', 'false'],
        description='Configure and activate at start; false leaves that to a lifecycle manager. '
        f'{AS_FILE_SAYS}',
    ),
    DeclareLaunchArgument(
        'build_only',
        default_value='',
        choices=['', 'true', 'false'],
        description='Open the engine, building its plan where missing, test it, and end. '
        f'{AS_FILE_SAYS}',
    ),
    DeclareLaunchArgument(
        'log_level',
        default_value='info',
        choices=['debug', 'info', 'warn', 'error', 'fatal'],
        description='Least severity that the node logs.',
    ),
    DeclareLaunchArgument(
        'static_tf',
        default_value='false',
        choices=['true', 'false'],
        description="Publish the camera's place on the vehicle, where nothing else does.",
    ),
    DeclareLaunchArgument(
        'rviz', default_value='false', choices=['true', 'false'], description='Show it in RViz.'
    ),
)
# Set where their argument is; the others come from params_file alone.
STRINGS = ('model', 'engine', 'processing_mode', 'image_transport')
FLAGS = ('autostart', 'build_only', 'use_sim_time')


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *ARGUMENTS,
            _include('dds_profile'),
            OpaqueFunction(function=_start_node),
            _include('camera_tf', condition='static_tf'),
            _include('rviz', condition='rviz'),
        ]
    )


def _include(name: str, condition: str = '') -> IncludeLaunchDescription:
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(FOLDER / f'{name}.launch.py')),
        condition=IfCondition(LaunchConfiguration(condition)) if condition else None,
    )


def _start_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    parameters = Path(value('params_file'))
    if not parameters.is_file():
        raise RuntimeError(f'params_file: {parameters}: no such file')
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for names, kind in ((STRINGS, str), (FLAGS, bool))
        for name in names
        if value(name)
    }
    logger = '.'.join(filter(None, [*value('namespace').split('/'), value('node_name')]))
    return [
        Node(
            package='sg_depth_ros',
            executable='depth_node',
            namespace=value('namespace'),
            name=value('node_name'),
            parameters=[str(parameters), overrides],
            remappings=[('~/image', value('image')), ('~/camera_info', value('camera_info'))],
            ros_arguments=['--log-level', f'{logger}:={value("log_level")}'],
            output='screen',
            emulate_tty=True,
        )
    ]
