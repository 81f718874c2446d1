"""Judging a prepared dataset before anyone trains on it: one subject per file."""
