from tests.sink.conftest import module_to, server, to

__all__ = ["module_to", "server", "to"]
