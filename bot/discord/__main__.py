"""``python -m bot.discord`` is ``intern discord``."""

import sys

from bot.cli import main

if __name__ == "__main__":
    sys.exit(main(["discord", *sys.argv[1:]]))
