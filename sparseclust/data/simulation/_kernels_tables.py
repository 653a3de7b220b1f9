"""Look-up of the tabulated formulas on a logarithmic grid of kinetic energies."""

import math

import numba

# Rows of the tables.
LOSS_ELECTRON, LOSS_MUON, LOSS_PION, LOSS_PROTON = range(4)  # restricted collision loss, MeV/cm
BREMS_RATE, SOFT_LOSS = 4, 5  # radiated photons above the cut per cm; radiated below it, MeV/cm
PAIR_RATE, COMPTON_RATE, PHOTO_RATE = 6, 7, 8  # photon interactions per cm
PION_INELASTIC, PROTON_INELASTIC = 9, 10  # nuclear interactions per cm
N_TABLES = 11

GRID_POINTS = 600
LOWEST, HIGHEST = 0.01, 2.0e4  # MeV
LOG_LOWEST = math.log(LOWEST)
LOG_STEP = (math.log(HIGHEST) - LOG_LOWEST) / (GRID_POINTS - 1)


@numba.njit(cache=True)
def locate(energy):
    """Place of an energy on the grid, in steps; energies outside the grid take its end."""
    u = (math.log(energy) - LOG_LOWEST) / LOG_STEP
    return min(max(u, 0.0), GRID_POINTS - 1.000001)


@numba.njit(cache=True)
def look_up(tables, row, place):
    """Linear interpolation of one table at a place found by :func:`locate`."""
    i = int(place)
    w = place - i
    return tables[row, i] * (1.0 - w) + tables[row, i + 1] * w
