"""What a wire does to answers: how they are cut, packed, broken off and hurried, for each wire API."""

from robust.broken import BROKEN
from robust.crowd import CROWD
from robust.cut import CUT
from robust.faithful import FAITHFUL, WITHOUT_TOOLS
from robust.packed import PACKED
from robust.slow import SLOW

CHECKS = CUT | PACKED | BROKEN | FAITHFUL | SLOW | CROWD
# Checks that cannot exist for a wire API, and why.
CANNOT = WITHOUT_TOOLS

__all__ = ["CANNOT", "CHECKS"]
