from tests.sink.conftest import server, to

__all__ = ["server", "to"]
