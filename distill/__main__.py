"""`python -m distill`: the command, for a launcher that starts modules."""

from distill.cli import main

main()
