"""``python -m toolchain.cli`` is ``spikeport``."""

from toolchain.cli import main

main()
