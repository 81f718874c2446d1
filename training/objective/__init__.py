"""The self-supervised objective and the Lightning modules that train with it."""
