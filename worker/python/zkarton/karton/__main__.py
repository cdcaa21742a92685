"""``python -m zkarton.karton``."""
from __future__ import annotations

import sys

from ._run import main

sys.exit(main())
