"""The robustness harness: sweeps of models × attacks × radii × targets × seeds, stored sample by
sample.

sweep        what is to be measured, from a TOML file
store        results on disk; a finished cell is never lost and never computed again
cells        what one cell is, its key, and how it is computed
engine       runs cells on all cores, or on an existing Dask cluster
statistics   intervals, worst cases and paired differences from the stored records
flags        named checks of honesty, each with a section in docs/flags.md
"""
