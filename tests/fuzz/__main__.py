"""The long form: `python -m tests.fuzz --files 10000` (`make fuzz`), or one case again:
`python -m tests.fuzz --kind nir --seed 1234 --files 1`.

Each file is read in a worker process with limits on memory and time, so that a crash, a hang or a
bomb is a finding like any other. What fails is kept in FOLDER as KIND-SEED.ENDING.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.kinds import KINDS

HANGING_S = 60.0
"""After so long on the clock a case counts as hanging; its worker is killed."""


class Worker:
    """A process that judges files; started anew after it died."""

    def __init__(self, folder: Path, kinds: list[str]):
        self._folder, self._kinds = folder, kinds
        self._process: subprocess.Popen | None = None

    def judge(self, kind: str, content: bytes) -> str:
        """What ``judging.judge`` says of a file, or that the process died or hung."""
        if self._process is None:
            self._start()
        path = self._folder / f"case{KINDS[kind].ending}"
        path.write_bytes(content)
        return self._ask(kind, path)

    def _start(self) -> None:
        """Start the process and let it read a sound file of each kind: what is imported and made
        once is no cost of a case."""
        command = [sys.executable, "-m", "tests.fuzz.judging"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **pipes)
        for kind in self._kinds:
            path = self._folder / f"sound{KINDS[kind].ending}"
            path.write_bytes(KINDS[kind].contents[0])
            self._ask(kind, path)
        self._send("ready", Path())

    def _ask(self, kind: str, path: Path) -> str:
        self._send(kind, path)
        if not select.select([self._process.stdout], [], [], HANGING_S)[0]:
            self.close()
            return f"no end within {HANGING_S:g} s"
        answer = self._process.stdout.readline().decode()
        if not answer.startswith("="):
            code = self._process.wait()
            self.close()
            return f"the process died with exit code {code}"
        return answer[1:].strip()

    def _send(self, kind: str, path: Path) -> None:
        self._process.stdin.write(f"{kind} {path}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                stream.close()
        self._process = None


def main() -> int:
    """Exit code 1 where a case failed."""
    options = _options()
    kept, failed = Path(options.keep), Counter()
    with tempfile.TemporaryDirectory(prefix="spikeport-fuzz-") as folder:
        kinds = [options.kind] if options.kind else list(KINDS)
        worker = Worker(Path(folder), kinds)
        for number in range(options.files):
            kind, seed = kinds[number % len(kinds)], options.seed + number // len(kinds)
            content = KINDS[kind].case(seed)
            wrong = worker.judge(kind, content)
            if wrong:
                failed[kind] += 1
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{kind}-{seed}{KINDS[kind].ending}").write_bytes(content)
                print(f"{kind} {seed}: {wrong}", flush=True)
            if number % 1000 == 999:
                print(
                    f"{number + 1} of {options.files} files, {sum(failed.values())} failed",
                    flush=True,
                )
        worker.close()
    print(
        f"{options.files} files: {sum(failed.values())} failed"
        + (f" ({dict(failed)})" if failed else "")
    )
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--files", type=int, default=10_000, help="how many damaged files, over all kinds"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first file of each kind")
    parser.add_argument("--kind", choices=list(KINDS), help="one kind alone")
    parser.add_argument(
        "--keep", default=os.path.join("runs", "fuzz"), help="folder for what failed"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
