"""Data sets of other archives, whose files are the source."""
