"""Angles between stars."""

from math import asin, cos, degrees, radians, sin, sqrt

CATALOGUE = {
    "Aldebaran": (68.980, 16.509),
    "Betelgeuse": (88.793, 7.407),
    "Pleiades": (56.871, 24.105),
    "Sirius": (101.287, -16.716),
}
"""Name to right ascension and declination in degrees, J2000."""


def separation(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the angle between two places on the sky in degrees (haversine formula: exact also for small angles)."""
    ra_1, dec_1, ra_2, dec_2 = (radians(angle) for angle in (*one, *other))
    inner = sin((dec_2 - dec_1) / 2) ** 2 + cos(dec_1) * cos(dec_2) * sin((ra_2 - ra_1) / 2) ** 2
    return degrees(2 * asin(sqrt(inner)))
