"""``python -m sparseclust``."""

from sparseclust.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
