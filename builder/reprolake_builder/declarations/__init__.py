"""The files in which a repository declares its environment: a reader for each kind, and what they all have heard."""
