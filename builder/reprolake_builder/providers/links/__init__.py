"""Links as people paste them, read without asking anybody."""
