"""The JavaScript client in a browser, under the page's Content-Security-Policy: its database, and several tabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.patience import http_get

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from playwright.sync_api import Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

OPEN = """async () => {
  const { connect } = await import('/client/client.js');
  window.contacts = [];
  window.terminal = connect({ url: location.origin, terminalId: 'waiter-9', type: 'waiter' });
  terminal.on('contact', ({ code }) => contacts.push(code));
  await terminal.ready;
}"""
WRITE = """async ([id, note]) => {
  window.kept = await terminal.create('orders', id, { note });
  return kept.state;
}"""


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("browser")


def opened(page: Page) -> Page:
    page.evaluate(OPEN)
    return page


def tab(page: Page) -> Page:
    """Another tab of the same browser, at the same page."""
    other = page.context.new_page()
    other.goto(page.url)
    return opened(other)


def in_contact(page: Page) -> None:
    page.wait_for_function("() => terminal.contact.up")


def shows(page: Page, order: str, note: str) -> None:
    page.wait_for_function(
        "([id, note]) => terminal.entity('orders', id)?.data.note === note && terminal.operations().length === 0",
        arg=[order, note],
    )


def on_node(node: NodeProcess) -> dict[str, Any]:
    answer = http_get(f"{node.url.replace('ws', 'http', 1)}/api/v1/entities/orders").json()
    return {each["entity_id"]: each["data"]["note"] for each in answer["entities"]}


def test_tabs_are_one_terminal_and_another_leads_when_one_is_closed(pages: Pages, node: NodeProcess) -> None:
    first = opened(pages(node))
    in_contact(first)
    second = tab(first)
    in_contact(second)
    second.evaluate(WRITE, ["mesa-1", "a"])
    assert second.evaluate("async () => (await kept.answered).state") == "confirmed"
    for page in (first, second):
        shows(page, "mesa-1", "a")
    first.close()
    second.evaluate(WRITE, ["mesa-2", "b"])
    in_contact(second)
    shows(second, "mesa-2", "b")
    third = tab(second)
    for order, note in (("mesa-1", "a"), ("mesa-2", "b")):
        shows(third, order, note)
    assert on_node(node).items() >= {"mesa-1": "a", "mesa-2": "b"}.items()
    assert 4004 not in second.evaluate("contacts") + third.evaluate("contacts")


def test_what_was_saved_outlives_the_page_and_is_sent_once(pages: Pages, node: NodeProcess) -> None:
    page = opened(pages(node))
    in_contact(page)
    page.evaluate(WRITE, ["mesa-3", "first"])
    shows(page, "mesa-3", "first")
    spare = page.context.new_page()
    spare.goto(page.url)
    node.kill()
    page.wait_for_function("() => !terminal.contact.up")
    assert page.evaluate(WRITE, ["mesa-4", "kept"]) == "saved"
    page.close()
    node.start()
    again = opened(spare)
    again.wait_for_function("() => terminal.entity('orders', 'mesa-4')?.data.note === 'kept'")
    shows(again, "mesa-4", "kept")
    assert on_node(node).items() >= {"mesa-3": "first", "mesa-4": "kept"}.items()
    assert again.evaluate("terminal.entity('orders', 'mesa-4').version") == 1
