"""Makes the simulated observations in data/ and the basket that names them: always the same bytes.

    python make_data.py

Four observations of the Crab Nebula in wobble mode, as a small array of Cherenkov telescopes would see them: gamma rays drawn
from the published spectrum and a background of misclassified cosmic rays. The files follow the "Data formats for
gamma-ray astronomy" (GADF 0.3), which is also the format of CTAO's DL3 data. Nothing here was measured.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

SEED = 20150630
CRAB_RA, CRAB_DEC = 83.6333, 22.0145  # degrees, ICRS
WOBBLE = 0.4  # degrees between the source and the pointing
LIVETIME_FRACTION = 0.96
DURATION = 1200.0  # seconds of each observation
STARTS = [0.0, 1500.0, 86100.0, 87600.0]  # seconds after MJD 59550, two in each night
MJD_REFERENCE = 59550
PSF = 0.06  # degrees, Gaussian
RAD_MAX = 0.15  # degrees: the cut that the effective area includes
BACKGROUND_RATE = 0.75  # per second, whole field of view
OUT = Path(__file__).parent


def crab(energy):
    """Photons per cm2, s and TeV (MAGIC: Aleksić et al. 2015, JHEAp 5-6, 30)."""
    return 3.23e-11 * energy ** (-2.47 - 0.24 * np.log10(energy))


def effective_area(energy):
    """Square metres after cuts, for a source 0.4 degrees off the axis."""
    return 6.0e4 / (1 + (energy / 0.12) ** -2.4) * (1 + 0.15 * np.log10(np.maximum(energy, 0.05)))


def draw_energies(random, density, count, low=0.05, high=30.0):
    grid = np.geomspace(low, high, 2000)
    cumulative = np.concatenate([[0], np.cumsum(0.5 * (density(grid)[1:] + density(grid)[:-1]) * np.diff(grid))])
    return np.interp(random.random(count), cumulative / cumulative[-1], grid), cumulative[-1]


def make_events(random, number, start):
    side = 1 if number % 2 else -1
    pointing_ra, pointing_dec = CRAB_RA, CRAB_DEC + side * WOBBLE
    livetime = DURATION * LIVETIME_FRACTION
    _, per_second = draw_energies(random, lambda e: crab(e) * effective_area(e) * 1e4, 1)
    gammas = random.poisson(per_second * livetime / 0.956)  # the cut keeps 95.6 % of them
    others = random.poisson(BACKGROUND_RATE * livetime)
    energy, _ = draw_energies(random, lambda e: crab(e) * effective_area(e), gammas)
    noise, _ = draw_energies(random, lambda e: e**-2.7 / (1 + (e / 0.1) ** -3), others)
    x = np.concatenate([random.normal(0, PSF, gammas), random.normal(0, 0.9, others)])
    y = np.concatenate([random.normal(-side * WOBBLE, PSF, gammas), random.normal(0, 0.9, others)])
    time = start + np.sort(random.random(gammas + others)) * DURATION
    order = random.permutation(gammas + others)
    dec = pointing_dec + y[order]
    ra = pointing_ra + x[order] / np.cos(np.radians(dec))
    events = Table(
        {
            "EVENT_ID": np.arange(1, len(time) + 1, dtype="int32"),
            "TIME": time,
            "RA": ra.astype("float32"),
            "DEC": dec.astype("float32"),
            "ENERGY": np.concatenate([energy, noise])[order].astype("float32"),
        },
        units={"TIME": "s", "RA": "deg", "DEC": "deg", "ENERGY": "TeV"},
    )
    header = {
        "EXTNAME": "EVENTS", "HDUCLASS": "GADF", "HDUVERS": "0.3", "HDUCLAS1": "EVENTS",
        "HDUDOC": "https://gamma-astro-data-formats.readthedocs.io",
        "OBS_ID": number, "OBJECT": "Crab", "RADECSYS": "ICRS", "EQUINOX": 2000.0,
        "RA_OBJ": CRAB_RA, "DEC_OBJ": CRAB_DEC, "RA_PNT": pointing_ra, "DEC_PNT": pointing_dec,
        "MJDREFI": MJD_REFERENCE, "MJDREFF": 0.0, "TIMEUNIT": "s", "TIMESYS": "TT", "TIMEREF": "LOCAL",
        "TSTART": start, "TSTOP": start + DURATION, "ONTIME": DURATION, "LIVETIME": livetime,
        "DEADC": LIVETIME_FRACTION, "TELESCOP": "SIMULATED", "INSTRUME": "SIMULATED", "CREATOR": "make_data.py",
    }  # fmt: skip
    gti = Table({"START": [start], "STOP": [start + DURATION]}, units={"START": "s", "STOP": "s"})
    hdus = [fits.PrimaryHDU(), fits.table_to_hdu(events), fits.table_to_hdu(gti)]
    hdus[1].header.update(header)
    hdus[2].header.update(
        {"EXTNAME": "GTI", "HDUCLASS": "GADF", "HDUCLAS1": "GTI", "MJDREFI": MJD_REFERENCE, "MJDREFF": 0.0, "TIMEUNIT": "s"}
    )
    return fits.HDUList(hdus)


def make_irf():
    edges = np.geomspace(0.05, 30.0, 25)
    centres = np.sqrt(edges[1:] * edges[:-1])
    area = np.repeat(effective_area(centres)[np.newaxis, :], 2, axis=0)
    table = Table(
        {
            "ENERG_LO": [edges[:-1].astype("float32")],
            "ENERG_HI": [edges[1:].astype("float32")],
            "THETA_LO": [np.array([0.0, 1.0], dtype="float32")],
            "THETA_HI": [np.array([1.0, 2.0], dtype="float32")],
            "EFFAREA": [area.astype("float32")],
        },
        units={"ENERG_LO": "TeV", "ENERG_HI": "TeV", "THETA_LO": "deg", "THETA_HI": "deg", "EFFAREA": "m2"},
    )
    hdu = fits.table_to_hdu(table)
    hdu.header.update(
        {
            "EXTNAME": "EFFECTIVE AREA", "HDUCLASS": "GADF", "HDUVERS": "0.3", "HDUCLAS1": "RESPONSE",
            "HDUCLAS2": "EFF_AREA", "HDUCLAS3": "POINT-LIKE", "HDUCLAS4": "AEFF_2D", "RAD_MAX": RAD_MAX,
            "TELESCOP": "SIMULATED", "INSTRUME": "SIMULATED", "CREATOR": "make_data.py",
        }
    )  # fmt: skip
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def main():
    random = np.random.default_rng(SEED)
    (OUT / "data").mkdir(exist_ok=True)
    products = {f"crab_events_{n:03}.fits": make_events(random, n, start) for n, start in enumerate(STARTS, 1)}
    products["crab_irf.fits"] = make_irf()
    items = []
    for name, hdus in products.items():
        path = OUT / "data" / name
        hdus.writeto(path, overwrite=True)
        data = path.read_bytes()
        items.append(
            {
                "name": name,
                "archive": "simulated",
                "url": f"file:data/{name}",
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    (OUT / "basket.json").write_text(json.dumps(items, indent=2) + "\n")


if __name__ == "__main__":
    main()
