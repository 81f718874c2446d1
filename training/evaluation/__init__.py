"""Judging a model on a dataset folder: predictions, holes of infinite depth, tables, pictures."""
