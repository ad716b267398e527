"""Speed and memory, as ratios from one run on one machine. Run with ``make bench``."""
