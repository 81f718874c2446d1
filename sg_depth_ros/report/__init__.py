"""Pages of one file, and the drawings and pictures on them."""
