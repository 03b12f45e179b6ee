"""``spikeport train``."""
