"""Fuzzing of everything that reads bytes from outside; `python -m tests.fuzz`, `make fuzz`.

Coverage-guided with atheris (libFuzzer), time-boxed, from the samples in `tests/corpus`. What it
finds is made small and kept in `tests/corpus/fuzz/<target>`, which every test run replays.
"""
