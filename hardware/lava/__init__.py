"""The Lava target. ``client`` runs a Program in a watched worker process; only that worker imports
lava."""
