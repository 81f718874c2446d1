"""The networks: depth, pose, segmentation, and the guidance between them."""
