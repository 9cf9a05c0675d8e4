"""The page at `/`: says that the app runs, and nothing that a stranger should not know."""

from __future__ import annotations

from fnpack_host.http.asgi import Message, Receive, Send, reply

PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Function app</title>
<style>
  :root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6878; --ground: #f4f6f9; --card: #fff; --mark: #0a7d55 }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e8edf3; --soft: #9aa7b5; --ground: #12171d; --card: #1b222b; --mark: #3ecf96 }
  }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground);
         color: var(--ink); font: 16px/1.6 system-ui, sans-serif }
  main { background: var(--card); padding: 2.5rem 3rem; border-radius: 1rem; max-width: 34rem; margin: 1rem;
         box-shadow: 0 1px 3px #0002, 0 8px 30px #0001 }
  h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.3 }
  h1::before { content: ""; display: inline-block; width: .65em; height: .65em; margin-right: .5em;
               border-radius: 50%; background: var(--mark) }
  p { margin: .5rem 0 0; color: var(--soft) }
  code { font-size: .95em; color: var(--ink) }
</style>
</head>
<body>
<main>
<h1>Your function app is up and running</h1>
<p>HTTP functions answer at their own routes. <code>/admin/host/ping</code> says whether the host is ready.</p>
</main>
</body>
</html>
"""
HEADERS = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"x-content-type-options", b"nosniff"),
]


class Home:
    """Answers `/`: the page, or nothing where `AzureWebJobsDisableHomepage` is set."""

    def __init__(self, *, is_hidden: bool) -> None:
        self._is_hidden = is_hidden

    async def answer(self, path: str, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["method"] not in ("GET", "HEAD"):
            await reply(send, 404)
        elif self._is_hidden:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await reply(send, 200, PAGE, b"text/html; charset=utf-8", HEADERS)
