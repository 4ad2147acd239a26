"""One SQLite database: schema, the writer's transaction, the readers."""
