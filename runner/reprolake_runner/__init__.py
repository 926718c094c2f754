"""Reprolake's runner: an image, a notebook and a basket become a staged result."""
