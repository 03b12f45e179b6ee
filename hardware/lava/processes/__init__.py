"""Our own Lava processes. Nothing else may live in this folder: Lava executes every file beside a
process."""
