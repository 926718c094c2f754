"""Sources that are folders of this host."""
