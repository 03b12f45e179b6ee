"""Workers of a Dask cluster: with TLS, and what does not go together."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from tests.toolchain.cells.conftest import job
from toolchain.cells import engine, remote, threads
from toolchain.cells.errors import EngineError
from toolchain.cells.remote import Scheduler
from toolchain.cells.store import Store
from toolchain.cli import run as spikeport


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"address": "host:8786"}, "must be tls://HOST:PORT"),
        ({"address": "ucx://host:8786"}, "must be tls://HOST:PORT"),
        (
            {"address": "tcp://host:8786"},
            "anyone who reaches this scheduler can run code.*trusted_network=True",
        ),
        (
            {"address": "tcp://host:8786", "ca": "file"},
            "is not encrypted, so certificates change nothing",
        ),
        (
            {"address": "tls://host:8786", "trusted_network": True},
            "trusted_network goes with tcp://",
        ),
        ({"address": "tls://host:8786", "ca": "file", "key": "file"}, "cert is missing"),
        (
            {"address": "tls://host:8786", "ca": "file", "cert": "nowhere", "key": "file"},
            "cert is .*nowhere.; there is no such file",
        ),
        (
            {"address": "tls://host:8786", "ca": "file", "cert": "file", "key": "file"},
            "cannot be used as certificates",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, given, words):
    (tmp_path / "file").write_text("no certificate")
    paths = {
        name: tmp_path / value for name, value in given.items() if name in ("ca", "cert", "key")
    }
    with pytest.raises(EngineError, match=words):
        Scheduler(**{**given, **paths})


def test_the_command_refuses_a_scheduler_without_tls_before_anything_else(tmp_path, capsys):
    sweep = str(tmp_path / "sweep.toml")
    assert spikeport(["bench", sweep, "--scheduler", "tcp://localhost:8786"]) == 2
    assert "--insecure-scheduler" in capsys.readouterr().err
    assert spikeport(["bench", sweep, "--tls-ca", "ca.pem"]) == 2
    assert "go with --scheduler" in capsys.readouterr().err


def authority(folder, name):
    """PEM files of an authority and of a certificate that it signed: {"ca", "cert", "key"}."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    files = {part: folder / f"{name}-{part}.pem" for part in ("ca", "cert", "key")}
    own, request = folder / f"{name}-ca-key.pem", folder / f"{name}.csr"
    new = ["req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    for arguments in (
        [*new, f"/CN={name} authority", "-x509", "-keyout", own, "-out", files["ca"]],
        [*new, f"/CN={name}", "-keyout", files["key"], "-out", request],
        [
            "x509",
            "-req",
            "-in",
            request,
            "-CA",
            files["ca"],
            "-CAkey",
            own,
            "-CAcreateserial",
            "-out",
            files["cert"],
        ],
    ):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    return files


def test_a_cluster_with_tls_computes_and_a_stranger_is_not_heard(tmp_path, monkeypatch):
    from distributed import LocalCluster

    ours, strangers = authority(tmp_path, "ours"), authority(tmp_path, "strangers")
    security = Scheduler("tls://nowhere:1", **ours).security()
    every = {
        f"tls_{who}_{what}": str(ours[what])
        for who in ("scheduler", "worker")
        for what in ("cert", "key")
    }
    for name, value in every.items():
        setattr(security, name, value)
    before = threads.limit(1)
    seen = []
    try:
        with LocalCluster(
            n_workers=1,
            processes=False,
            protocol="tls://",
            security=security,
            dashboard_address=None,
            silence_logs=50,
        ) as running:
            assert running.scheduler_address.startswith("tls://")
            known = Scheduler(running.scheduler_address, **ours)
            cells = [job("counted", "slow", of=3), job("cannot", "colours")]
            with Store(tmp_path / "run") as store:
                report = engine.EngineReport(inside=lambda *said: seen.append(said))
                engine.run(
                    cells,
                    store,
                    lambda count, shared, inside: remote.cluster(known, shared, inside),
                    report,
                )
                assert store.get(cells[0].key)[0]["result"] == {"done": 3}
                assert store.get(cells[1].key)[0]["reason"] == "numbers have no colour"
            assert ("slow", 3, 3) in seen
            monkeypatch.setattr(remote, "GIVE_UP_S", 2.0)
            stranger = Scheduler(running.scheduler_address, **strangers)
            with (
                pytest.raises(EngineError, match="no Dask scheduler answers"),
                remote.cluster(stranger, engine.Shared(), print),
            ):
                pass
    finally:
        threads.limit(before["torch"])


def test_a_scheduler_that_does_not_answer_is_named_while_we_wait(monkeypatch, caplog):
    import distributed

    def silent(*arguments, **options):
        time.sleep(0.3)
        raise TimeoutError("nobody answered")

    monkeypatch.setattr(distributed, "Client", silent)
    monkeypatch.setattr(remote, "PATIENCE_S", 0.05)
    scheduler = Scheduler("tcp://localhost:1", trusted_network=True)
    with (
        caplog.at_level("INFO", "toolchain"),
        pytest.raises(EngineError, match="no Dask scheduler answers at tcp://localhost:1"),
        remote.cluster(scheduler, None, None),
    ):
        pass
    assert caplog.messages == ["waiting for the Dask scheduler at tcp://localhost:1 to answer"]
