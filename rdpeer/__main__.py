"""``python -m rdpeer``."""

from rdpeer.cli import main

if __name__ == "__main__":
    main()
