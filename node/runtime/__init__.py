"""The trio shell: sockets, HTTP, the storage threads, the clock. It decides nothing."""
