"""The benchmark of the suite reads pytest's own report."""

import subprocess
import sys
from pathlib import Path

from benchmarks.suite import times_of


def test_a_report_of_pytest_is_read(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    report = tmp_path / "report.xml"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={report}",
        "test_two.py",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    times = times_of(report)
    assert set(times) == {"test_two.test_a", "test_two.test_b"}
    assert all(seconds >= 0 for seconds in times.values())
