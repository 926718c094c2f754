"""Sandboxes: a program runs in a root file system and sees nothing else of the host."""
