"""Evaluating models on bags, and replaying bags through the live node."""
