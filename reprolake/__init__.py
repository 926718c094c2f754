"""The front doors over builder and runner."""
