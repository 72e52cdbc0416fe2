"""What all tests share: the tree can be imported from its root, whoever starts pytest and from where, and
no example of Hypothesis is in a hurry or drawn anew: the same tree passes or fails, on whatever machine."""

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parents[1]))

settings.register_profile(
    "anywhere",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("anywhere")
