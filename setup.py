"""
The vehicle's half as an ament_python package; ``training`` is run from a checkout.

    colcon build                        in a ROS 2 workspace, dependencies by rosdep (package.xml)
    pip install '.[ros]'                without ROS: middleware and messages come as wheels too
    pip install -e '.[ros,training]'    a workstation
"""

from pathlib import Path

from setuptools import find_packages
from setuptools import setup

NAME = 'sg_depth_ros'
ROOT = Path(__file__).resolve().parent
# Where there are wheels of TensorRT-RTX.
RTX_PLATFORMS = (
    'sys_platform == "linux" and platform_machine == "x86_64" and python_version < "3.14"'
)


def files(*patterns: str) -> list[str]:
    """Return the files that match, relative to this one, as colcon wants them."""
    return sorted(p.relative_to(ROOT).as_posix() for g in patterns for p in ROOT.glob(g))


setup(
    name=NAME,
    version='0.1.0',
    description='Metric depth and semantic labels from one camera, as a ROS 2 node',
    license='Apache-2.0',
    maintainer='sg_depth_ros maintainers',
    maintainer_email='sg-depth-ros@example.org',
    python_requires='>=3.10',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        (f'share/{NAME}/launch', files('launch/*.launch.py')),
        (f'share/{NAME}/config', files('config/*.yaml', 'config/*.xml', 'config/*.rviz')),
    ],
    zip_safe=True,
    install_requires=[
        'matplotlib>=3.5',
        'numpy>=1.21',
        'onnxruntime>=1.14',
        'opencv-python-headless>=4.5',
        'pyyaml>=5.4',
        'rich>=11',
        'rosbags>=0.10',
    ],
    extras_require={
        # Real ROS 2 as wheels, for machines without a ROS installation. Never mix it with one.
        'ros': [
            'cv-bridge',
            'ros-diagnostic-msgs',
            'ros-geometry-msgs',
            'ros-lifecycle-msgs',
            'ros-nav-msgs',
            'ros-rcl-interfaces',
            'ros-rclpy[fastrtps]',
            'ros-sensor-msgs',
            'ros-std-msgs',
            'ros-std-srvs',
        ],
        'training': [
            'jsonargparse[signatures]>=4.35',
            'lightning>=2.4',
            'onnx>=1.16',
            'onnxscript>=0.2',
            'pyyaml',
            'simplejpeg>=1.8',
            'tensorboard>=2.15',
            'torch>=2.4',
        ],
        'test': [
            'catkin-pkg',
            'colcon-core',
            'colcon-package-information',
            'colcon-ros',
            'hypothesis>=6.90',
            'mypy',
            'pytest>=8',
            'pytest-cov>=7',  # brings coverage that follows processes
            'pytest-timeout>=2.2',
            'pytest-xdist>=3.5',
            'ruff',
            # NVIDIA's real ONNX parser and plan builder, which need no GPU in this edition.
            f'tensorrt-rtx-cu13-bindings ; {RTX_PLATFORMS}',
            f'tensorrt-rtx-cu13-libs ; {RTX_PLATFORMS}',
            'types-PyYAML',
        ],
    },
    entry_points={
        'console_scripts': [
            f'build_engine = {NAME}.engines.build_engine:main',
            f'depth_node = {NAME}.node.depth_node:main',
            f'evaluate_bag = {NAME}.replay.evaluate_bag:main',
            f'replay_bag = {NAME}.replay.replay_bag:main',
        ],
    },
)
