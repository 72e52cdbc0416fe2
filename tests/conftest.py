"""What all tests share: the tree can be imported from its root, whoever starts pytest and from where."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
