"""``python -m rowline`` and the ``rowline`` command. Ctrl-C ends it quietly while everything else is still loading."""

import os
import signal
from typing import Any


def _interrupted(*_: Any) -> None:
    os.write(2, b"rowline: interrupted\n")
    os._exit(130)


def main() -> None:
    """Entry point; see :func:`rowline.cli.main`."""
    signal.signal(signal.SIGINT, _interrupted)
    from rowline import cli

    signal.signal(signal.SIGINT, cli.interrupt)
    cli.main()


if __name__ == "__main__":
    main()
