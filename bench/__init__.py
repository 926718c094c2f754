"""Benchmarks against what a user would pick instead: paired runs, medians, ratios. `make bench`."""
