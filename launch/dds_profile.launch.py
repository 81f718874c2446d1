"""Sets the Fast DDS profile for large images for everything that is launched after it."""

from pathlib import Path

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.actions import SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration

from sg_depth_ros.replay.dds_profile import profile_variable

OWN_PROFILE = Path(__file__).parents[1] / 'config' / 'fastdds_large_images.xml'
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def generate_launch_description() -> LaunchDescription:
    new, old = VARIABLES
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'dds_profile',
                default_value='',
                description='Fast DDS profile, so that large images arrive; the camera driver '
                f'needs it too, as {old} (ROS 2 up to Jazzy) or {new} (from Kilted). Empty: the '
                f"one that these name already, else this package's {OWN_PROFILE.name}. "
                'none: what Fast DDS has by default.',
            ),
            OpaqueFunction(function=_set_variables),
        ]
    )


def _set_variables(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    chosen = LaunchConfiguration('dds_profile').perform(context)
    if chosen == 'none' or (not chosen and set(VARIABLES) & set(context.environment)):
        return []
    profile = Path(chosen or OWN_PROFILE)
    if not profile.is_file():
        raise RuntimeError(f'dds_profile: {profile}: no such file')
    return [SetEnvironmentVariable(profile_variable(), str(profile.absolute()))]
