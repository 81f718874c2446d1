"""What the node measures of itself and says about it."""
