"""How long 100,000 messages take from journals to report: ``python tests/bench_report.py [bundles]``.

The first mark is 60 s on one core, the aim 15 s. No test: a busy machine is not a bug.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.report import write_report
from orchestrator.tracing.testing import make_synthetic_run


def main(bundles: int) -> None:
    """Make a run, report on it, print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "synthetic" / "seed7"
        make_synthetic_run(run, bundles)
        megabytes = sum(path.stat().st_size for path in (run / "journal").iterdir()) / 1e6
        wall, processor = time.perf_counter(), time.process_time()
        report, _ = write_report(run)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    events = sum(node.events for node in report.nodes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(report.headline)  # the benchmark's output
    print(  # as above
        f"{bundles:,} messages, {events:,} events, {megabytes:.0f} MB of journals: "
        f"{wall:.1f} s ({processor:.1f} s of processor time), peak memory {peak:.0f} MB"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
