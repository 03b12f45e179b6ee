"""The version, which what is written states."""

__version__ = "0.1.0"
