"""
Runs the node with the double of TensorRT, on a GPU that this machine does not have.

``DOUBLE_GPU`` is the GPU's name, ``DOUBLE_TENSORRT`` the version.
"""

import os
import sys

import pytest
from tensorrt_double import Gpu
from tensorrt_double import World
from tensorrt_double import installed_double

from sg_depth_ros.node.depth_node import main

if __name__ == '__main__':
    world = World(
        version=os.environ.get('DOUBLE_TENSORRT', '10.13.0'),
        gpu=Gpu(name=os.environ.get('DOUBLE_GPU', 'NVIDIA Double')),
    )
    with pytest.MonkeyPatch.context() as monkeypatch, installed_double(monkeypatch, world):
        status = main()
    sys.exit(status)
