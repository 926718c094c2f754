"""Places that an image can be written to."""
