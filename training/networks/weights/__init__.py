"""Weights of other projects: reading their files, and filling our networks with them."""
