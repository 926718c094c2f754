"""Moons of Jupiter."""


def moons() -> list[str]:
    """Return those that Galileo saw."""
    return ["Io", "Europa", "Ganymede", "Callisto"]
