"""Hour angles.

Usage: hourangle --lst=HOURS --ra=HOURS
"""

from docopt import docopt


def hour_angle(lst, ra):
    """Return the hour angle in hours, from -12 to 12."""
    return (lst - ra + 12) % 24 - 12


def main(argv):
    given = docopt(__doc__, argv)
    return hour_angle(float(given["--lst"]), float(given["--ra"]))
