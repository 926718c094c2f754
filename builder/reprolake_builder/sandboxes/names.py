"""What sandboxes are called: apart from what makes them, because every command line has to know."""

AUTO = "auto"
"""The first of the others that works here."""
NAMES = (AUTO, "bubblewrap", "podman", "docker", "apptainer")
