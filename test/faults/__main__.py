"""``python -m test.faults``: the table and the long runs, each with what it counted.

python -m test.faults table             run all cells, show what is bad
python -m test.faults table --docs      ... and write docs/reliability.md
python -m test.faults interrupts 3000   Ctrl-C at random moments
python -m test.faults threads 120       64 threads, in seconds
python -m test.faults calls 200000      calls of which 5 % fail
python -m test.faults kills 20          an emulator under load, killed
python -m test.faults forks 200         children while threads call
python -m test.faults ends 50           programs that end with calls on their way
python -m test.faults exits 200         Ctrl-C while a program ends
python -m test.faults fuzz 600          atheris over what answers hold, in seconds
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from test.faults import fuzz, long_runs, report, table


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 where something is bad."""
    started = time.monotonic()
    what, *rest = arguments or ["table"]
    if what == "table":
        cells = table.run_all()
        bad = [f"{fault} / {kind}: {text}" for (fault, kind), text in cells.items() if text.startswith("BAD")]
        print(f"{len(cells)} cells, {len(bad)} bad", *bad, sep="\n")
        if "--docs" in rest:
            Path(report.PATH).write_text(report.write(cells))
    elif what == "fuzz":
        bad = ["it broke"] if fuzz.main(int(rest[0]) if rest else 600) else []
    else:
        line, bad = long_runs.RUNS[what](*map(int, rest))
        print(line, *bad, sep="\n")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
