"""Reading bags, evaluating a model on them, and replaying them through the live node."""
