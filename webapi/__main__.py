"""`python -m webapi`: see `webapi.cli`."""

import sys

from webapi.cli import main

if __name__ == "__main__":
    sys.exit(main())
