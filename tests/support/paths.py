"""The paths of the checkout, and of the recorded transcripts that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
TRANSCRIPTS = ROOT.parent / "shared" / "transcripts"
