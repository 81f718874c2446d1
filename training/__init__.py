"""Offline training: from a recording to ``model.onnx``. Run ``python -m training --help``."""
