"""
Runs depth_node on several cameras, one process and one namespace for each.

    ros2 launch sg_depth_ros multi_camera.launch.py cameras:=cameras.yaml model:=model.onnx

config/cameras.yaml shows the file: under each camera's name, arguments of depth.launch.py.
"""

from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import GroupAction
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

FOLDER = Path(__file__).parent
CAMERAS = DeclareLaunchArgument(
    'cameras',
    default_value=str(FOLDER.parent / 'config' / 'cameras.yaml'),
    description='YAML file that names the cameras and the arguments of depth.launch.py for each; '
    'they override those given here.',
)
# Arguments of depth.launch.py that may be the same for all cameras.
SHARED = (
    'params_file', 'use_sim_time', 'image_transport', 'model', 'engine', 'processing_mode',
    'autostart', 'build_only', 'log_level', 'dds_profile',
)  # fmt: skip


def generate_launch_description() -> LaunchDescription:
    arguments = _arguments_of_depth()
    return LaunchDescription(
        [CAMERAS, *(arguments[name] for name in SHARED), OpaqueFunction(function=_start_cameras)]
    )


def _depth() -> PythonLaunchDescriptionSource:
    return PythonLaunchDescriptionSource(str(FOLDER / 'depth.launch.py'))


def _arguments_of_depth() -> dict[str, DeclareLaunchArgument]:
    description = _depth().try_get_launch_description_without_context()
    return {argument.name: argument for argument in description.get_launch_arguments()}


def _start_cameras(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    file = Path(LaunchConfiguration('cameras').perform(context))
    known = _arguments_of_depth()
    return [
        GroupAction(  # what one camera sets does not reach the next one
            [
                IncludeLaunchDescription(
                    _depth(), launch_arguments={'namespace': name, **arguments}.items()
                )
            ]
        )
        for name, arguments in _read_cameras(file, tuple(known)).items()
    ]


def _read_cameras(file: Path, known: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return the arguments of each camera, as launch wants them."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise RuntimeError(f'cameras: {file}: {error}') from error
    cameras = content.get('cameras') if isinstance(content, dict) else None
    if not isinstance(cameras, dict) or not cameras:
        raise RuntimeError(f"cameras: {file}: no cameras under 'cameras:'")
    for name, arguments in cameras.items():
        if not isinstance(arguments, dict):
            raise RuntimeError(f'cameras: {file}: {name}: arguments of depth.launch.py expected')
        if unknown := sorted(map(str, set(arguments) - set(known))):
            raise RuntimeError(
                f'cameras: {file}: {name}: {", ".join(unknown)}: no argument of depth.launch.py; '
                f'it has {", ".join(sorted(known))}'
            )
    return {
        str(name): {key: _word(value) for key, value in arguments.items()}
        for name, arguments in cameras.items()
    }


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
