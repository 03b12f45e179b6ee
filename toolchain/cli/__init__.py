"""The command line: one file a command; each parses, calls and prints.

Exit codes: 0 done; 1 done, and the answer is no (targets disagree, the network does not fit the
chip); 2 bad input, with one line on stderr that says what, where and what must be given; 70 a
fault of spikeport itself, with its traceback; 130 Ctrl-C; 141 nobody reads the output any more.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

import toolchain
from hardware.parameters import written
from toolchain.cli.names import as_typed
from toolchain.cli.values import nearest

COMMANDS = {
    "train": "Train a network from a recipe; writes a checkpoint.",
    "export": "Turn a model into a NIR graph or an integer Program, and print what became of every "
    "parameter.",
    "audit": "Print what became of every parameter, and what each rounding costs.",
    "run": "Run a model on a target and print accuracy, spikes and synaptic operations.",
    "compare": "Run a model on several targets and compare every spike and membrane potential.",
    "assess": "Say what a model loses as integers and what it costs: accuracy, agreement, cores, "
    "energy, time.",
    "check": "Check a model against a chip's limits.",
    "bench": "Attack models and measure accuracy, spikes and energy on several targets.",
    "report": "Make one page of a benchmark's results: software against hardware.",
    "results": "Make one table of several benchmarks' results, beside published figures.",
    "study": "Answer one question with many networks, on one page with error bars.",
    "examples": "Copy recipes, sweeps, study settings and scripts into a folder.",
    "schema": "Write the JSON schema of recipes, sweeps and studies, for editors.",
    "doctor": "Show what is installed, what each target needs, and what is missing.",
    "lava": "Set up the environment in which Lava runs.",
    "demo": "The main job on real input, from training to a page with the numbers.",
}
"""Name of a command and its line in the overview."""

MODULES = {"run": "running"}
"""Command → its module here, where that has another name: importing ``toolchain.cli.run`` would put
the module in the place of the function ``run``."""

LOGGERS = ("hardware", "export", "toolchain")
"""Whose log lines a command shows."""

TRACEBACK = "SPIKEPORT_TRACEBACK"
"""Environment variable for developers: where it is set, an expected error shows its traceback
too."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        # imported when it is called
        module = importlib.import_module(f"toolchain.cli.{MODULES.get(name, name)}")
        found: click.Command = module.command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command {name!r}.{nearest(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(toolchain.__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """From a trained PyTorch spiking network to Lava and Loihi 2, exactly.

    \b
    Example:
      spikeport train examples/recipes/digits.toml -o digits.safetensors
      spikeport export digits.safetensors -o digits.h5
      spikeport compare digits.safetensors --data digits --samples 20 --targets software,fast,lava
    """


def _expected(error: BaseException) -> bool:
    """Whether an error is about what the user gave, not about our code."""
    from hardware.errors import Error

    if isinstance(error, OSError):
        # a path that cannot be read or written; an OSError without a path is a fault of ours
        return error.filename is not None
    return isinstance(error, Error)


def _say(message: object) -> None:
    click.echo("spikeport: " + " ".join(str(message).split()), err=True)


class _Lines(logging.Handler):
    """What the packages log, a line each on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(record.getMessage())


@contextmanager
def _logging() -> Iterator[None]:
    """Show what the packages log from INFO on: why somebody waits, above all."""
    handler, levels = _Lines(), {}
    for name in LOGGERS:
        logger = logging.getLogger(name)
        levels[name] = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(level)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with ``arguments`` (default: those of the process) and return the exit
    code."""
    try:
        with _logging(), written(as_typed):
            code = cli.main(
                args=None if arguments is None else list(arguments),
                prog_name="spikeport",
                standalone_mode=False,
            )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _say(error.format_message())
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted; unfinished output files were not written")
        return 130
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not error.code:  # completion for the shell
            return 0
        # nobody reads our output any more, as in `spikeport ... | head`; click exits by itself
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if not _expected(error):
            import traceback

            traceback.print_exc()
            _say(
                "this is a fault of spikeport, not of your input; please report it with the lines "
                "above"
            )
            return 70
        if os.environ.get(TRACEBACK):
            raise
        _say(error)
        return 2


def main() -> None:
    """Entry point of the ``spikeport`` command."""
    sys.exit(run())
