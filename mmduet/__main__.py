"""`python -m mmduet` is `mmduet`."""

from mmduet.cli import main

main()
