"""python -m hashhuman: the console command."""

import sys

from hashhuman.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
