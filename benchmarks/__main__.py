"""The same network, inputs and seeds on the fast target, on Lava and in plain snnTorch, side by
side.

    python -m benchmarks                             both networks, all sides
    python -m benchmarks --network cnn --json F      one network; the numbers as JSON too

Every side runs in a process of its own, one after the other, so that its peak memory is its own.
Rates are medians over the repeats; Lava's leave out starting and compiling, the others' leave out
the first run. Memory: peak of the process and its children, inputs included; the CNN's 1,000
samples of 300 steps have to stay within 2 GiB on the fast target. Exit code 1 if they do not, or if
fast and Lava differ in a single output spike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.networks import NETWORKS

SAMPLES = {
    "mlp": {"fast": 5000, "snntorch": 512, "lava": 20},
    "cnn": {"fast": 1000, "snntorch": 256, "lava": 4},
}
"""Lava is so slow, and snnTorch's speed so independent of the number of batches, that they get
fewer samples."""

REPEAT = {"fast": 5, "snntorch": 3, "lava": 3}

MEMORY_LIMIT_MIB = 2048
"""For the fast target."""


def _measure(side: str, network: str, samples: int, repeat: int, folder: Path) -> dict:
    """One side's numbers; {"side", "network", "error"} where it could not run."""
    outputs = folder / f"{network}-{side}.npy"
    command = [
        sys.executable,
        "-m",
        "benchmarks.side",
        side,
        network,
        str(samples),
        str(repeat),
        str(outputs),
    ]
    finished = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[1],
        check=False,
    )
    if finished.returncode:
        lines = finished.stderr.strip().splitlines()
        return {
            "side": side,
            "network": network,
            "error": lines[-1] if lines else f"exit code {finished.returncode}",
        }
    return json.loads(finished.stdout.splitlines()[-1]) | {"outputs": str(outputs)}


def _differences(one: dict, other: dict) -> dict:
    """How many output spikes differ on the samples that both sides ran."""
    a, b = np.load(one["outputs"]), np.load(other["outputs"])
    shared = min(len(a), len(b))
    different = int(np.count_nonzero(a[:shared] != b[:shared]))
    return {
        "samples": shared,
        "values": int(a[:shared].size),
        "spikes": int(np.count_nonzero(a[:shared])),
        "different": different,
    }


def _print(results: list[dict], agreement: dict[str, dict]) -> None:
    for network in dict.fromkeys(result["network"] for result in results):
        sides = {result["side"]: result for result in results if result["network"] == network}
        print(f"\n{network}: {NETWORKS[network].description}")
        print(f"  inputs: {next((r['inputs'] for r in sides.values() if 'inputs' in r), 'none')}")
        print(
            f"  {'':<10}{'samples':>8}{'sample*steps/s':>16}{'x Lava':>10}{'x snnTorch':>12}"
            f"{'peak MiB':>10}{'first run s':>13}"
        )
        for side, result in sides.items():
            if "error" in result:
                print(f"  {side:<10}not measured: {result['error']}")
                continue
            ratios = [
                f"{result['sample_steps_per_s'] / sides[other]['sample_steps_per_s']:.3g}"
                if "error" not in sides[other]
                else "-"
                for other in ("lava", "snntorch")
            ]
            memory = (
                "-" if result["peak_memory_mib"] is None else f"{result['peak_memory_mib']:.0f}"
            )
            rate = f"{result['sample_steps_per_s']:,.0f}"
            print(
                f"  {side:<10}{result['samples']:>8}{rate:>16}{ratios[0]:>10}{ratios[1]:>12}"
                f"{memory:>10}{result['first_run_s']:>13.2f}"
            )
        for other in ("lava", "snntorch"):
            if (found := agreement[network].get(other)) is not None:
                print(
                    f"  fast and {other}: {found['different']} of {found['values']} outputs differ "
                    f"({found['samples']} samples, {found['spikes']} spikes)"
                )


def _faults(results: list[dict], agreement: dict[str, dict]) -> bool:
    """Whether something that must hold does not."""
    fast = [result for result in results if result["side"] == "fast"]
    too_large = any((result.get("peak_memory_mib") or 0) > MEMORY_LIMIT_MIB for result in fast)
    different = any(found.get("lava", {}).get("different") for found in agreement.values())
    return too_large or different or any("error" in result for result in fast)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=[*NETWORKS, "all"], default="all")
    parser.add_argument(
        "--repeat",
        type=int,
        help="measured runs of every side (default: fast 5, snntorch 3, lava 3)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the numbers to FILE as well"
    )
    options = parser.parse_args()
    if options.repeat is not None and options.repeat < 1:
        parser.error("--repeat must be at least 1")
    load = os.getloadavg()[0]
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, load average "
        f"{load:.1f} before the start"
    )
    results: list[dict] = []
    agreement: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        for network in NETWORKS if options.network == "all" else [options.network]:
            sides = {}
            for side, samples in SAMPLES[network].items():
                print(
                    f"measuring {network} on {side} ({samples} samples)",
                    file=sys.stderr,
                    flush=True,
                )
                sides[side] = _measure(
                    side, network, samples, options.repeat or REPEAT[side], Path(folder)
                )
            results += sides.values()
            measured = {side: result for side, result in sides.items() if "error" not in result}
            agreement[network] = {
                s: _differences(measured["fast"], r)
                for s, r in measured.items()
                if s != "fast" and "fast" in measured
            }
    for result in results:
        result.pop("outputs", None)
    _print(results, agreement)
    if options.json:
        document = {
            "processors": os.cpu_count(),
            "load_average": load,
            "results": results,
            "agreement": agreement,
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if _faults(results, agreement) else 0


if __name__ == "__main__":
    sys.exit(main())
