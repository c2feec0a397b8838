"""The end-to-end tests' processes serve here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from importlib.util import module_from_spec, spec_from_file_location  # noqa: E402

_spec = spec_from_file_location("e2e_conftest", Path(__file__).resolve().parents[1] / "e2e" / "conftest.py")
_e2e = module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
binary, shared_simulator, simulator, make, module_make = (
    _e2e.binary,
    _e2e.shared_simulator,
    _e2e.simulator,
    _e2e.make,
    _e2e.module_make,
)
