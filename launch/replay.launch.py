"""
Plays a bag into depth_node, once that is ready, at the bag's own time.

    ros2 launch sg_depth_ros replay.launch.py bag:=my_bag model:=model.onnx rviz:=true

Camera topics and frames are found in the bag. The other arguments are those of depth.launch.py.
"""

import shlex
import sys
from pathlib import Path

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import ExecuteProcess
from launch.actions import IncludeLaunchDescription
from launch.actions import LogInfo
from launch.actions import OpaqueFunction
from launch.actions import RegisterEventHandler
from launch.actions import SetLaunchConfiguration
from launch.actions import Shutdown
from launch.conditions import UnlessCondition
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from sg_depth_ros.bags.bag import Bag
from sg_depth_ros.bags.bag import open_bag
from sg_depth_ros.bags.connecting import static_transforms
from sg_depth_ros.bags.transforms import StaticTransforms
from sg_depth_ros.bags.transforms import frame_name

CLOCK_HZ = 100
COMPRESSED = '/compressed'
FOUND = 'empty: found in the bag.'

ARGUMENTS = (
    DeclareLaunchArgument('bag', description='rosbag2 to play: its folder, or its file.'),
    DeclareLaunchArgument(
        'rate', default_value='1.0', description='How much faster than recorded it is played.'
    ),
    DeclareLaunchArgument(
        'loop',
        default_value='false',
        choices=['true', 'false'],
        description='Play it again and again.',
    ),
    DeclareLaunchArgument(
        'play_arguments',
        default_value='',
        description='Further arguments of "ros2 bag play", such as "--start-offset 10".',
    ),
    DeclareLaunchArgument(
        'image',
        default_value='',
        description=f'Topic of the images; {FOUND}',
    ),
    DeclareLaunchArgument(
        'camera_info', default_value='', description=f'Topic of their camera_info; {FOUND}'
    ),
    DeclareLaunchArgument(
        'image_transport',
        default_value='',
        choices=['', 'raw', 'compressed'],
        description=f'How the images come; {FOUND}',
    ),
    DeclareLaunchArgument(
        'optical_frame', default_value='', description=f'frame_id of the images; {FOUND}'
    ),
    DeclareLaunchArgument(
        'fixed_frame',
        default_value='',
        description='Frame that RViz shows everything in; empty: the topmost above the camera.',
    ),
    DeclareLaunchArgument(
        'static_tf',
        default_value='auto',
        choices=['auto', 'true', 'false'],
        description="Publish the camera's place on the vehicle; auto: where the bag does not "
        'hold it.',
    ),
)


def generate_launch_description() -> LaunchDescription:
    depth = PythonLaunchDescriptionSource(str(Path(__file__).parent / 'depth.launch.py'))
    return LaunchDescription(
        [
            *ARGUMENTS,
            OpaqueFunction(function=_look_into_the_bag),
            IncludeLaunchDescription(depth, launch_arguments={'use_sim_time': 'true'}.items()),
            OpaqueFunction(function=_play_when_active),
        ]
    )


def _look_into_the_bag(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Set the arguments that the user has not."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    image = value('image') + (COMPRESSED if value('image_transport') == 'compressed' else '')
    with open_bag(Path(value('bag'))) as bag:
        topics = bag.camera(image if value('image') else None, value('camera_info') or None)
        frame = value('optical_frame') or _frame_of_images(bag, topics.image)
        transforms = static_transforms(bag)
    top = _topmost(transforms, frame)
    place_known = top != frame
    static_tf = value('static_tf')
    if static_tf == 'auto':
        static_tf = 'false' if place_known or not frame else 'true'
    found = {
        'image': topics.image.removesuffix(COMPRESSED) if topics.compressed else topics.image,
        'camera_info': topics.camera_info or 'camera_info',
        'image_transport': 'compressed' if topics.compressed else 'raw',
        'optical_frame': frame,
        'static_tf': static_tf,
        'fixed_frame': value('fixed_frame') or ('base_link' if static_tf == 'true' else top),
    }
    names = 'image', 'camera_info', 'optical_frame'
    told = ', '.join(f'{name} {found[name] or "(empty)"}' for name in names)
    return [
        LogInfo(msg=f'from the bag: {told}'),
        *(SetLaunchConfiguration(name, text) for name, text in found.items()),
    ]


def _frame_of_images(bag: Bag, topic: str) -> str:
    first = next(bag.messages(topic, only=[0]))
    return frame_name(first.message.header.frame_id)


def _topmost(transforms: StaticTransforms, frame: str) -> str:
    parents = {child: parent for parent, child in transforms.edges}
    for _ in parents:
        frame = parents.get(frame, frame)
    return frame


def _play_when_active(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    play = ExecuteProcess(
        cmd=[
            *('ros2', 'bag', 'play', value('bag'), '--clock', str(CLOCK_HZ)),
            *('--rate', value('rate')),
            *(['--loop'] if value('loop') == 'true' else []),
            *shlex.split(value('play_arguments')),
        ],
        name='bag',
        output='screen',
    )
    over = Shutdown(
        reason='the bag has ended', condition=UnlessCondition(LaunchConfiguration('rviz'))
    )
    node = '/' + '/'.join(filter(None, [value('namespace').strip('/'), value('node_name')]))
    # A TensorRT plan may be built first, for minutes.
    ready = ExecuteProcess(
        cmd=[sys.executable, '-m', 'sg_depth_ros.node.wait_until_active', node],
        name='waiting_for_the_node',
    )

    def play_where_ready(event: ProcessExited, context: LaunchContext) -> ExecuteProcess | None:
        return play if event.returncode == 0 else None

    return [
        ready,
        RegisterEventHandler(OnProcessExit(target_action=ready, on_exit=play_where_ready)),
        RegisterEventHandler(OnProcessExit(target_action=play, on_exit=[over])),
    ]
