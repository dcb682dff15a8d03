"""`python -m samplerzoo`, which launchers of several processes use."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # `-m` puts the working directory first on the path, and anybody may have left modules or entry points there
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]
    from samplerzoo.cli import main

    sys.exit(main())
