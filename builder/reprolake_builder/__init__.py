"""Reprolake's builder: a link becomes a pinned container image."""
