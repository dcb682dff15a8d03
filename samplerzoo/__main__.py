"""`python -m samplerzoo`, which launchers of several processes use."""

from __future__ import annotations

import sys

from samplerzoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
