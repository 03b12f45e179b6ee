"""A model at any stage on any target: opened, taken to a Program, run in software and on hardware,
compared, and what it costs."""
