"""Many parameter combinations: which there are, which is the best, and over which stretches of time that is asked. Numbers in, numbers out."""
