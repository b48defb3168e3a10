"""`python bench`, as `make bench` calls it: networks and whole processes, then detectors. Both read the same options and find their peers themselves."""

import detect_speed
import run

run.main()
detect_speed.main()
