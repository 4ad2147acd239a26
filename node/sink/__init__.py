"""Reporting tables: a cursor over the logs of stores, into PostgreSQL."""
