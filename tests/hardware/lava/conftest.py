"""A Lava worker shared by many tests, and what a run could leave behind."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hardware.lava import connection, environment
from hardware.lava.client import Session
from hardware.lava.errors import LavaUnsupportedError

INSIDE = Path(__file__).with_name("inside")


class SharedSession:
    """A session that is started when first needed, and again when a failure ended it."""

    def __init__(self, **how):
        self.how, self.session = how, None

    def run_chunks(self, *arguments):
        """As ``Session.run_chunks``."""
        if self.session is None:
            self.session = Session(**self.how)
        try:
            yield from self.session.run_chunks(*arguments)
        except LavaUnsupportedError:
            raise  # nothing was started
        except BaseException:
            self.close()
            raise

    def close(self):
        """End the worker."""
        if self.session is not None:
            self.session.close()
        self.session = None


@pytest.fixture(scope="session")
def direct():
    """Lava's models called without its runtime."""
    shared = SharedSession(direct=True)
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def runtime():
    """Lava's own runtime."""
    shared = SharedSession()
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def inside(tmp_path_factory):
    """Run ``inside/NAME.py`` in Lava's interpreter; the JSON that it prints last."""

    def run(name: str):
        boot = (
            connection.BOOTSTRAP.split("from hardware.lava.worker")[0]
            + "exec(compile(open(token).read(), token, 'exec'))"
        )
        command = [
            environment.interpreter(),
            "-E",
            "-c",
            boot,
            connection.PACKAGE,
            INSIDE / f"{name}.py",
            "",
        ]
        place = os.environ | {"TMPDIR": str(tmp_path_factory.mktemp(name))}
        result = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=120, env=place
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout.splitlines()[-1])

    return run
