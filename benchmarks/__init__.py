"""Measurements of the running controller: `python -m benchmarks.bench`."""
