"""`python -m tritloom`: the command line."""

from tritloom.models.cli import main

main()
