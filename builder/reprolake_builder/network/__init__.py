"""The filtering proxy that programs in sandboxes reach the network through, and what passed it."""
