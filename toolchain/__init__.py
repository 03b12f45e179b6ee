"""What a person does: train, export, run, compare, report. The command line is in
``toolchain.cli``."""

__version__ = "0.1.0"
