"""Debian packages as files: where they are, what is in them, what their scripts do."""
