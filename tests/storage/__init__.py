"""Tests of `storage`, one file for each of its modules; `rows` builds log rows and databases for them."""
