from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.processes import NodeProcess
from tests.ui.browser import Chromium, Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    try:
        browser.do(browser.start)
        yield browser
    finally:
        browser.end()


@pytest.fixture
def pages(chromium: Chromium) -> Iterator[Pages]:
    """Opens pages; after the test they close, and no error may stand on a console."""
    opened = Pages(chromium)
    yield opened
    chromium.do(opened.close)
    assert opened.errors == []


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProcess]]:
    """Starts nodes for the tests of a module: `nodes("hub", "--upstream", url, config="...")`."""
    started: list[NodeProcess] = []
    folder = tmp_path_factory.mktemp("nodes")

    def start(name: str, *flags: str, config: str = "") -> NodeProcess:
        node = NodeProcess(folder / name, "--id", name, *flags, config=config).start()
        started.append(node)
        return node

    yield start
    for node in started:
        node.end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that opens pages runs in the browser's thread."""
    if "pages" not in pyfuncitem.fixturenames:
        return None
    chromium: Chromium = pyfuncitem.funcargs.get("chromium") or pyfuncitem._request.getfixturevalue("chromium")
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    chromium.do(lambda: pyfuncitem.obj(**arguments))
    return True
