"""What stands around every view: the address, the token, the languages, the parts of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from playwright.sync_api import expect

from tests.processes import NodeProcess, comanda
from tests.ui.browser import WIDTHS, Pages
from tests.ui.people import Terminal, asked, conflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

ROUTES = ("pedidos", "terminais", "auditoria", "desempenho", "no", "conflitos")


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("central")


def connected(page: Page) -> Page:
    expect(page.locator(".overall .pill-none")).to_have_count(0)
    expect(page.locator(".overall .pill")).to_be_visible()
    return page


@pytest.mark.walk(3)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_part_is_reached_and_nothing_scrolls_sideways(pages: Pages, node: NodeProcess, width: int) -> None:
    page = connected(pages(node, width=width))
    for route in ROUTES:
        page.evaluate("route => { location.hash = '#/' + route }", route)
        expect(page.locator(f'[aria-current="page"][href="#/{route}"]')).to_have_count(1)
        expect(page.locator("h1")).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), route


def test_the_language_is_the_browsers_and_can_be_changed(pages: Pages, node: NodeProcess) -> None:
    page = connected(pages(node, language="en-GB"))
    expect(page.get_by_role("link", name="Orders", exact=True)).to_be_visible()
    page.get_by_role("radio", name="Português").check()
    expect(page.get_by_role("link", name="Pedidos", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "pt-BR"
    page.reload()
    expect(page.get_by_role("link", name="Pedidos", exact=True)).to_be_visible()


@pytest.fixture(scope="module")
def guarded(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("guardado")


def test_a_token_is_asked_for_once_and_stands_in_no_address(pages: Pages, guarded: NodeProcess) -> None:
    made = comanda("token", "add", "painel-1", "--type", "monitor", "--data", guarded.data)
    token = next(word for word in made.stdout.split() if word.startswith("cmd_"))
    page = pages(guarded)
    addresses: list[str] = []
    page.on("websocket", lambda socket: addresses.append(socket.url))
    page.on("request", lambda request: addresses.append(request.url))
    page.locator("#token").fill("cmd_wrong (ç)")
    page.locator("#token-name").fill("Painel do João")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text("4001")
    expect(page.locator("#view")).to_have_count(0)  # no data behind a refusal
    page.locator("#token-name").fill("painel-1")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text("4003")
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    connected(page)
    page.reload()
    connected(page)
    assert any("/ws/" in one for one in addresses)
    assert [one for one in addresses if "cmd_" in one] == []
    other = connected(pages(guarded, name="painel-2", token=second_token(guarded)))
    assert "token" not in other.url
    assert other.evaluate("history.length") == page.evaluate("history.length"), (
        "the address with the token is in none"
    )
    # An address with a token that is opened where the page stands already.
    third = second_token(guarded, "painel-3")
    other.evaluate("words => { location.hash = words }", f"#token={third}&name=painel-3")
    other.wait_for_url("**/#/conflitos")
    expect(other.locator(".me small")).to_have_text("painel-3")
    connected(other)
    assert other.evaluate("sessionStorage['comanda.token']") == third


def test_a_code_opens_the_page_with_its_token_once(pages: Pages, guarded: NodeProcess) -> None:
    words = ("--type", "monitor", "--id", "painel-7", "--data", guarded.data)
    address = orjson.loads(comanda("pair", *words, "--json").stdout)["page"]
    page = pages(guarded, "#/no")
    page.goto(address)
    expect(connected(page).locator(".me small")).to_have_text("painel-7")
    assert page.evaluate("sessionStorage['comanda.token']").startswith("cmd_")
    assert "pair" not in page.url
    page.reload()
    connected(page)
    other = pages(guarded)
    other.goto(address)
    expect(other.locator(".gate")).to_contain_text("código")
    other.locator("#token").fill(second_token(guarded, "painel-8"))
    other.locator("#token-name").fill("painel-8")
    other.keyboard.press("Enter")
    connected(other)


def test_two_browsers_with_one_token_are_told_and_do_not_push_each_other_out(
    pages: Pages, guarded: NodeProcess
) -> None:
    token = second_token(guarded, "painel-4")
    first = connected(pages(guarded, "#/no", name="painel-4", token=token))
    # What this token may not do is said before it is pressed.
    expect(first.locator("#deny-title")).to_be_visible()
    for act in ("backup", "archive"):
        expect(first.locator(f"#{act}")).to_be_disabled()
        expect(first.locator(f"#{act}-why")).to_contain_text("direito")
    second = pages(guarded, name="painel-4", token=token)
    expect(second.locator("#off-title")).to_have_text("Outra aba ou aparelho está aberto como painel-4")
    expect(second.locator("#off-retry")).to_be_enabled()
    connected(first)
    first.close()
    connected(second)  # by itself


def test_who_may_read_little_is_told_so_in_each_part(pages: Pages, guarded: NodeProcess) -> None:
    with Terminal(guarded, "caixa-1", "Ana", token=second_token(guarded, "caixa-1", "pos")) as ana:
        ana.write("orders", "mesa-1", {"table": "Mesa 1", "total": 3}, "CREATE")
        token = second_token(guarded, "painel-5", "monitor", "--read", "orders", "--resolve", "orders")
        page = pages(guarded, "#/pedidos/mesa-1", name="painel-5", token=token)
        expect(page.locator(".overall .pill")).to_have_text("salvo aqui")  # nothing else may be known
        ana.write("orders", "mesa-1", {"total": 4})
        expect(page.locator(".line-short")).to_contain_text("R$ 3,00 → R$ 4,00")  # without the audit, too
    expect(page.locator("#deny-title")).to_have_count(0)  # it may decide something
    for route in ("terminais", "auditoria", "desempenho", "no", "historico/products/x"):
        page.evaluate("route => { location.hash = '#/' + route }", route)
        expect(page.locator("#view")).to_contain_text("não tem o direito de ver isto")
        expect(page.locator("[aria-busy=true]")).to_have_count(0)


def second_token(node: NodeProcess, name: str = "painel-2", kind: str = "monitor", *rights: str) -> str:
    made = comanda("token", "add", name, "--type", kind, *rights, "--data", node.data)
    return next(word for word in made.stdout.split() if word.startswith("cmd_"))


def test_lost_contact_is_said_and_passes_and_what_a_restored_node_lacks_is_gone(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("instavel")
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("orders", "mesa-1", {"table": "Mesa 1", "total": 3}, "CREATE")
        copy = asked(node, "/api/v1/backup", post=True)["backup"]
        ana.write("orders", "mesa-1", {"total": 99})
        ana.write("orders", "mesa-2", {"table": "Mesa 2", "total": 5}, "CREATE")
    before = {"name": "Dona Lourdes", "phone": "1"}
    conflict(node, "customers", "cliente-1", before=before, first={"phone": "2"}, second={"phone": "3"})
    page = connected(pages(node, "#/pedidos"))
    expect(page.locator(".card")).to_have_count(2)
    expect(page).to_have_title("(1) 2 pedidos abertos · Comanda")
    node.kill()
    expect(page.locator("#off-title")).to_be_visible()
    expect(page.locator("#urgent")).to_contain_text("Sem contato")
    expect(page.locator(".card")).to_have_count(2)  # what was shown stays readable
    restored = comanda("restore", "--data", node.data, node.data / copy)
    assert restored.returncode == 0, restored.stderr
    node.start()
    page.evaluate("document.getElementById('off-retry')?.click()")  # it may have come back by itself already
    expect(page.locator("#off-title")).to_have_count(0)
    connected(page)
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("R$ 3,00")
    expect(page).to_have_title("1 pedido aberto · Comanda")


def test_behind_tls_the_page_and_its_connection_keep_to_the_policy(
    pages: Pages, nodes: Callable[..., NodeProcess], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    assert comanda("tls", "create", "--host", "127.0.0.1", "--data", folder).returncode == 0
    files = (str(folder / "tls" / "certificate.pem"), str(folder / "tls" / "certificate.key"))
    node = nodes("cifrado", "--tls-cert", files[0], "--tls-key", files[1])
    assert node.url.startswith("wss")
    page = connected(pages(node))
    answer = page.reload()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    connected(page)
