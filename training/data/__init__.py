"""Recordings, the dataset folder made from them, and loading it for training."""
