"""The log's open end: rows, the group that is made durable next, the ring of the latest rows."""
