"""TensorRT without torch: builds plans from model files, keeps them, and runs them."""
