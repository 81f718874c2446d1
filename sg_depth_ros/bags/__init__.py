"""Reading rosbag2 recordings without a ROS installation."""
