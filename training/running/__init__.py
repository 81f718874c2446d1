"""A training run: its folder, resuming it, watching it, and stopping it with a reason."""
