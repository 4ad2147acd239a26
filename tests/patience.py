"""How long a test waits for what must come, and connections that wait so long.

Such a wait ends when the thing comes. A long one costs nothing where it comes, and lets it come on a slow machine.
"""

from __future__ import annotations

import ssl
from functools import partial

import httpx
from websockets.sync import client

PATIENCE_S = 60.0
PROGRAM_S = 10 * PATIENCE_S
"""How long a program may take that a test runs to its end."""

_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: reading the system's authorities for each request takes longer than the request."""

connect = partial(client.connect, open_timeout=PATIENCE_S, ping_timeout=PATIENCE_S)
http_get = partial(httpx.get, timeout=PATIENCE_S, trust_env=False, verify=_NO_AUTHORITIES)
http_post = partial(httpx.post, timeout=PATIENCE_S, trust_env=False, verify=_NO_AUTHORITIES)
