"""Kepler's third law."""


def period(axis):
    """Return the period in years of an orbit around the Sun; `axis` is in astronomical units."""
    return axis**1.5
