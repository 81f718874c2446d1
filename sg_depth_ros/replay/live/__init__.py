"""Playing a bag into the running node: what came back, how soon, and whether that is enough."""
