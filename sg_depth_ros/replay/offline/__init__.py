"""Every image of bags through models without ROS: what ``evaluate_bag`` is made of."""
