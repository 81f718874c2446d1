"""From a network to ``model.onnx``: folding, tracing, comparing, reporting."""
