"""Camera infos as tests describe them: the fields of sensor_msgs/CameraInfo, without ROS."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from sg_depth_ros.camera import Intrinsics


def region(left: int = 0, top: int = 0, width: int = 0, height: int = 0) -> Any:
    """Return a sensor_msgs/RegionOfInterest."""
    return SimpleNamespace(x_offset=left, y_offset=top, width=width, height=height)


def info_of(camera: Intrinsics, **fields: Any) -> Any:
    """Return the info of a camera without distortion, P as K, with fields replaced."""
    contents = {
        'width': camera.width,
        'height': camera.height,
        'k': camera.matrix().ravel(),
        'd': [],
        'r': np.eye(3).ravel(),
        'p': np.hstack([camera.matrix(), np.zeros((3, 1))]).ravel(),
        'distortion_model': '',
        'binning_x': 0,
        'binning_y': 0,
        'roi': region(),
    }
    return SimpleNamespace(**{**contents, **fields})
