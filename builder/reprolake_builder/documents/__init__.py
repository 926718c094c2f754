"""The values that cross a file or a process: small JSON documents that a person can read."""
