"""Whether sandboxes keep what they promise: a program tries, from inside, what must not be possible."""
