"""``python -m bot.slack`` is ``intern slack``."""

import sys

from bot.cli import main

if __name__ == "__main__":
    sys.exit(main(["slack", *sys.argv[1:]]))
