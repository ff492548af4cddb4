"""`python -m qingtan` is the `qingtan` command."""

from qingtan.cli import main

main()
