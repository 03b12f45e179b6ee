"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

json_option = click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the result as JSON, too.")
force_option = click.option("--force", is_flag=True, help="Replace output files that exist.")
