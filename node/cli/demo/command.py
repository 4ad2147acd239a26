"""`comanda demo`: an evening in a restaurant with a hub, three nodes and an outage in the middle.

Real node processes and real sockets; what has to happen is waited for, never slept for. It ends by comparing every
terminal's screen with its node and every node with the others, and exits 1 if anything differs or is missing.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import httpx
import trio

from node.cli.demo.nodes import DemoFailed
from node.cli.demo.restaurant import Restaurant
from node.cli.demo.scenes import Scenes
from node.cli.screen import Screen


async def play(folder: Path, console: Screen) -> None:
    """The whole evening. Raises DemoFailed."""
    async with httpx.AsyncClient(trust_env=False) as client:  # loopback only: no proxy of the environment
        restaurant = Restaurant(folder, client, console)
        wrong: list[str] = []
        try:
            async with trio.open_nursery() as nursery:
                try:
                    wrong += await Scenes(restaurant).run(nursery)
                    await restaurant.close()
                except DemoFailed as error:  # out of the nursery as text, not as a group
                    wrong.append(error.message)
                except trio.TooSlowError:
                    wrong.append("um terminal não recebeu o que esperava / a terminal did not get what it waited for")
                except KeyboardInterrupt:
                    wrong.append("interrompida / interrupted")
                nursery.cancel_scope.cancel()
        finally:
            for node in restaurant.nodes:
                node.kill()
    if wrong:
        logs = [f"{node.name}:\n{logged}" for node in restaurant.nodes if (logged := node.logged())]
        raise DemoFailed("\n".join([*wrong, *logs]))


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="Diretório (novo). / A new data directory.  [temporary]"
)
def demo(data: Path | None) -> None:
    """Uma central, três nós e um apagão no meio, em menos de um minuto. / A hub, three nodes and an outage.

    \b
    comanda demo --data /tmp/demo
    """
    console = Screen(markup=True, soft_wrap=True)
    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="comanda-demo-")))
        elif data.exists() and any(data.iterdir()):
            raise click.ClickException(f"{data} não está vazio / is not empty")
        data.mkdir(parents=True, exist_ok=True)
        trio.run(play, data, console)
