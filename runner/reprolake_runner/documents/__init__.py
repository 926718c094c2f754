"""The runner's documents."""
