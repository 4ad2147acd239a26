"""Coverage-guided fuzzing of whatever can come from a socket, and the replay of what it found (test_corpus.py).

A long run, with atheris (`pip install -e '.[fuzz]'`): `python -m tests.fuzz TARGET --seconds 600`. New inputs and
what failed go to a folder outside the repository; `--minimise` brings back the few that add coverage.
"""
