"""`python -m kguard`."""

from kguard.cli import main

if __name__ == "__main__":
    main()
