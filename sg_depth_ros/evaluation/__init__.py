"""Judging depth frame by frame, comparing models, and saying what was found."""
