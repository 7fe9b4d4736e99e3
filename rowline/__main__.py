"""``python -m rowline``."""

from rowline.cli import main

main()
