"""Recordings as a vehicle's driver nodes would have recorded them: a rosbag2 with its tf."""
