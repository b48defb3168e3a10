"""`python bench`, as `make bench` calls it."""

from run import main

main()
