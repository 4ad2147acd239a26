"""The terminal that loads are made of ends as a program that ends: its socket is closed."""

from __future__ import annotations

import trio

from bench.rig.client import LoadClient

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


async def test_a_terminal_of_a_load_that_goes_closes_its_socket() -> None:
    """Else its node takes the time to ask it whether it is alive before it lets it come back, and each measurement of
    a return holds that time."""
    client, scope = LoadClient(lambda _: None), trio.CancelScope()

    async def terminal(url: str) -> None:
        await client.connect(url)
        with scope:
            await client.run()

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(60):
        async with listener, trio.open_nursery() as nursery:
            port = listener.socket.getsockname()[1]
            nursery.start_soon(terminal, f"ws://127.0.0.1:{port}/ws/pos-1?type=pos")
            node = await listener.accept()
            async with node:
                await node.receive_some(4096)
                await node.send_all(ANSWER)
                client.send(b"{}")
                assert await node.receive_some(4096)
                scope.cancel()
                assert await node.receive_some(1) == b""
