"""The node's topics: what comes in, what goes out, and how messages become arrays."""
