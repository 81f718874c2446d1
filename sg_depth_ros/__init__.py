"""Metric monocular depth with semantic labels, as a ROS 2 node."""

__version__ = '0.1.0'
