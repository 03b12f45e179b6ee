"""The main job on real input: train, export, check, run, compare, and a page that shows it."""

from toolchain.demo.job import FILES, run

__all__ = ["FILES", "run"]
