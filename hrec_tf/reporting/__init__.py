"""Comparisons of several models over several seeds, and their tables."""
