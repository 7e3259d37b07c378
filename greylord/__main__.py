"""`python -m greylord` is `greylord`."""

from greylord.cli import main

main()
