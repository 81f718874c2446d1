"""Measurements of what must be fast, each a program of its own; ``make bench`` runs most."""
