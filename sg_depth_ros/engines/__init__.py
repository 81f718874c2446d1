"""Running an exported model: the Engine protocol and its implementations."""
