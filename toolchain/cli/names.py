"""How messages name a parameter while a command runs: by its option; where the command has none, by
the key of the TOML file that it reads."""

from __future__ import annotations

import click

_OPTIONS = {
    "rate": "spike-rate",
    "rate_hz": "rate",
    "ca": "tls-ca",
    "cert": "tls-cert",
    "key": "tls-key",
    "trusted_network": "insecure-scheduler",
}
"""Parameter → option, where that has another name."""

_KEYS = {"data": "dataset"}
"""Parameter → key of a TOML file, where that has another name."""


def as_typed(name: str, value: object = None) -> str:
    """See ``hardware.parameters.Form``."""
    option = _option(name)
    if option is None:
        key = _KEYS.get(name, name)
        return key if value is None else f"{key} = {_toml(value)}"
    typed = max(option.opts, key=len)
    return typed if value is None or option.is_flag else f"{typed} {value}"


def _option(name: str) -> click.Option | None:
    context = click.get_current_context(silent=True)
    typed = "--" + _OPTIONS.get(name, name.replace("_", "-"))
    for option in () if context is None else context.command.params:
        if isinstance(option, click.Option) and typed in option.opts:
            return option
    return None


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
