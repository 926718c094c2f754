"""Sources named by Software Heritage."""
