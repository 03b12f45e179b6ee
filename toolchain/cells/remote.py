"""Workers of a Dask cluster that runs already.

Whoever reaches a scheduler can run code on its workers, and Dask's own protocol asks nobody who
they are. So a scheduler is spoken to with TLS, where both sides show a certificate of one
authority; without it only where that was asked for.
"""

from __future__ import annotations

import logging
import ssl
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware.parameters import parameter
from toolchain.cells import threads, work
from toolchain.cells.errors import EngineError
from toolchain.cells.pool import RETRIES
from toolchain.cells.work import CellTask, Failed, Outcome, Shared

if TYPE_CHECKING:
    from distributed import Client, Security

TOPIC = "spikeport-cell-progress"

PATIENCE_S = 3.0
"""After this long without an answer of a scheduler it is logged that we wait."""

GIVE_UP_S = 10.0
"""After this long without an answer there is no scheduler."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scheduler:
    """Where a scheduler listens, and how it is known.

    address         tls://HOST:PORT
    ca, cert, key   PEM files: the authority that signed every certificate of the cluster, and our
                    certificate with its key
    trusted_network tcp:// without any of it: everybody who reaches the scheduler or a worker can
    run code as their owner

    Raises EngineError for what does not go together.
    """

    address: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    trusted_network: bool = False

    def __post_init__(self) -> None:
        files = {name: getattr(self, name) for name in ("ca", "cert", "key")}
        scheme = self.address.partition("://")[0] if "://" in self.address else None
        if scheme not in ("tls", "tcp"):
            raise EngineError(
                f"scheduler {self.address!r}: must be tls://HOST:PORT (or tcp://HOST:PORT with "
                f"{parameter('trusted_network', True)})"
            )

        if scheme == "tcp":
            if any(files.values()):
                raise EngineError(
                    f"{self.address} is not encrypted, so certificates change nothing; give "
                    f"tls://HOST:PORT"
                )
            if not self.trusted_network:
                raise EngineError(
                    f"{self.address}: anyone who reaches this scheduler can run code as the owner "
                    "of its workers, and read what is sent; start it with TLS and give tls:// "
                    f"with {parameter('ca')}, {parameter('cert')} and {parameter('key')} "
                    "(docs/robustness.md), or, where nobody else can reach it, "
                    f"{parameter('trusted_network', True)}"
                )
            return

        if self.trusted_network:
            raise EngineError(
                f"{self.address} is encrypted; {parameter('trusted_network')} goes with tcp://"
            )

        for name, path in files.items():
            if path is None:
                raise EngineError(
                    f"{self.address} needs {parameter('ca')}, {parameter('cert')} and "
                    f"{parameter('key')} (PEM files); {parameter(name)} is missing"
                )
            if not path.is_file():
                raise EngineError(f"{parameter(name)} is {str(path)!r}; there is no such file")

        self._check()

    def _check(self) -> None:
        """That the files are certificates and belong together, before anything is computed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise EngineError(
                f"{self.ca}, {self.cert} and {self.key} cannot be used as certificates: {error}"
            ) from None

    def security(self) -> Security:
        """For Dask."""
        from distributed import Security

        if self.ca is None:
            return Security(require_encryption=False)
        files = {"tls_ca_file": self.ca, "tls_client_cert": self.cert, "tls_client_key": self.key}
        return Security(
            require_encryption=True, **{name: str(path) for name, path in files.items()}
        )


def _no_password() -> str:
    raise ValueError(
        "the key is locked with a password; it must not be, because workers cannot ask for it"
    )


@contextmanager
def cluster(
    scheduler: Scheduler, shared: Shared, inside: Callable[[str, int, int], None]
) -> Iterator[Cluster]:
    """The workers of a running cluster as a crew. Raises EngineError where no scheduler answers."""
    from distributed import Client

    notice = ["waiting for the Dask scheduler at %s to answer", scheduler.address]
    waiting = threading.Timer(PATIENCE_S, _LOG.info, notice)
    waiting.daemon = True
    waiting.start()
    try:
        client = Client(
            scheduler.address,
            timeout=GIVE_UP_S,
            set_as_default=False,
            security=scheduler.security(),
        )
    except (OSError, ValueError, TimeoutError) as error:
        raise EngineError(
            f"no Dask scheduler answers at {scheduler.address}: {error}; how to start one says "
            f"docs/robustness.md, 'More than one machine'"
        ) from None
    finally:
        waiting.cancel()
    try:
        client.subscribe_topic(
            TOPIC, lambda event: inside(event[1]["cell"], event[1]["done"], event[1]["total"])
        )
        yield Cluster(client, shared)
    finally:
        client.close()


class Cluster:
    """Cells on their way through a cluster.

    Dask runs a task again when its worker died, but what was sent to that worker beforehand (what
    all cells share) is lost with it; such a cell is submitted anew, up to RETRIES times.
    """

    free = True

    def __init__(self, client: Client, shared: Shared) -> None:
        from distributed import as_completed

        self._client, self._shared = client, shared
        self._there = self._scatter()
        self._waiting: dict[str, tuple[CellTask, int]] = {}
        self._completed = as_completed([], loop=client.loop)

    def _scatter(self) -> Any:
        return self._client.scatter(self._shared, broadcast=True, hash=False)

    def submit(self, task: CellTask, attempt: int = 0) -> None:
        """Add a cell."""
        key = f"{task.key}-{attempt}"
        future = self._client.submit(_perform, task, self._there, key=key, pure=False)
        self._waiting[key] = task, attempt
        self._completed.add(future)

    def next(self) -> tuple[str, Outcome]:
        """(key, outcome) of the next cell that ends."""
        while True:
            future = next(self._completed)
            task, attempt = self._waiting.pop(future.key)
            try:
                return task.key, future.result()
            except (Exception, CancelledError) as error:
                if attempt >= RETRIES:
                    return task.key, Failed(
                        f"its workers died {RETRIES + 1} times ({type(error).__name__}: {error})"
                    )
                self._there = self._scatter()
                self.submit(task, attempt + 1)
            finally:
                future.release()


def _perform(task: CellTask, shared: Shared) -> Outcome:
    from distributed import get_worker

    worker = get_worker()
    threads.limit(1)

    def tick(done: int, total: int) -> None:
        worker.log_event(TOPIC, {"cell": task.label, "done": int(done), "total": int(total)})

    return work.perform(task, shared, tick)
