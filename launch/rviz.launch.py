"""
Shows what depth_node publishes.

    ros2 launch sg_depth_ros rviz.launch.py namespace:=front fixed_frame:=base_link
"""

import re
from pathlib import Path

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

FOLDER = Path(__file__).parent
ARGUMENTS = (
    DeclareLaunchArgument(
        'rviz_config',
        default_value=str(FOLDER.parent / 'config' / 'depth.rviz'),
        description='Configuration of RViz; what it names /depth_node/... is taken from the node '
        'that namespace and node_name say.',
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='base_link',
        description='Frame that RViz shows everything in; without TF, the frame_id of the images.',
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
)


def generate_launch_description() -> LaunchDescription:
    profile = PythonLaunchDescriptionSource(str(FOLDER / 'dds_profile.launch.py'))
    return LaunchDescription(
        [*ARGUMENTS, IncludeLaunchDescription(profile), OpaqueFunction(function=_start_rviz)]
    )


def _start_rviz(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    config = Path(value('rviz_config'))
    if not config.is_file():
        raise RuntimeError(f'rviz_config: {config}: no such file')
    node = '/' + '/'.join(filter(None, [value('namespace').strip('/'), value('node_name')]))
    # The display of depth images takes their camera_info without naming it.
    shown = {*re.findall(r'/depth_node(/[\w/]+)', config.read_text()), '/depth/camera_info'}
    sim_time = ParameterValue(LaunchConfiguration('use_sim_time'), value_type=bool)
    return [
        Node(
            package='rviz2',
            executable='rviz2',
            namespace=value('namespace'),
            name='rviz2',
            arguments=['-d', str(config), '-f', value('fixed_frame')],
            parameters=[{'use_sim_time': sim_time}],
            remappings=[(f'/depth_node{topic}', f'{node}{topic}') for topic in sorted(shown)],
            output='log',
        )
    ]
