"""`python -m fastci`."""

from fastci.cli import main

main()
