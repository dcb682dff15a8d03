"""`python -m samplerzoo`, which launchers of several processes use."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Python looks first where one stands, and what lies there, modules and entry points alike, may be anybody's
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    from samplerzoo.cli import main

    sys.exit(main())
