"""A page to try a recommender in a browser, and the JSON behind it, over HTTP.

    GET  /                the page: one file, which asks for nothing but what follows
    GET  /api/model       what there is to know of the model
    GET  /api/items       ?query=&limit=, the catalogue
    POST /api/typed       a text -> the items that it means
    POST /api/recommend   a history -> a list, and the sessions of the history
    POST /api/explain     a history -> attention and gates at its events

For one person on this machine: questions are answered one after the other. `demo_answers` says
what is in them.
"""

import asyncio
import base64
import hashlib
import ipaddress
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import resources
from typing import Any, Self
from urllib.parse import urlsplit

from hrec_tf import checks
from hrec_tf.serving.demo_answers import Answers
from hrec_tf.serving.extra import require
from hrec_tf.serving.loop_thread import LoopThread

MAX_BODY_BYTES = 2**18
"""Of a question; the longest history with ids of 500 characters."""

_LOG = logging.getLogger(__name__)
_MAX_MESSAGE = 1000
_PORT = "Pass a free port, e.g. 8080, or 0 for any."


class Demo:
    """Serves the page of one recommender until it is stopped.

    A request must name this machine by an address in figures, by `address` or as localhost: a
    page of somebody else, whose name was made to lead here, is answered nothing.

    Args:
        recommender: a `hrec_tf.recommender.Recommender`.
        name: what the page calls it.
        examples: histories `[(raw id, Unix seconds), ...]` to begin with.
        address: of the interface; by default this machine alone can ask.
        port: 0 for any free one, see `url`.

    Raises:
        ImportError: aiohttp is not installed.
        ValueError: a port out of its range.

    Example:
        with Demo(Recommender.load("runs/first"), name="first") as demo:
            print(demo.url)
            input("Enter ends it")
    """

    def __init__(
        self,
        recommender: Any,
        *,
        name: str,
        examples: Sequence[Any] = (),
        address: str = "127.0.0.1",
        port: int = 0,
    ):
        if checks.require_int_at_least("port", port, minimum=0, mend=_PORT) > 65535:
            raise ValueError(f"`port` must be at most 65535, but was {port}. {_PORT}")
        self._web = require_aiohttp()
        self._answers = Answers(recommender, name=name, examples=examples)
        self._page = _page()
        self._headers = _HEADERS | {"Content-Security-Policy": _policy(self._page)}
        self._address, self._port = address, port
        # The graphs of a recommender are not made for several threads at once.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="demo")
        self._loop = LoopThread("demo")
        self._runner: Any = None

    @property
    def url(self) -> str:
        """Where the page is, once started."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        return f"http://{host}:{self._port}"

    def start(self) -> Self:
        """Listens, and returns when it does.

        Raises:
            OSError: the port is taken.
        """
        self._loop.start()
        try:
            self._loop.run(self._listen())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends when the question that is being answered is answered."""
        if self._loop.is_running and self._runner is not None:
            self._loop.run(self._runner.cleanup())
        self._loop.stop()
        self._worker.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _listen(self) -> None:
        web = self._web
        guard = web.middleware(partial(self._guarded))  # it is marked, which no method can be
        app = web.Application(middlewares=[guard], client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.get("/", self._get_page),
                web.get("/api/model", self._get_model),
                web.get("/api/items", self._get_items),
                web.post("/api/typed", self._post(self._answers.typed)),
                web.post("/api/recommend", self._post(self._answers.recommend)),
                web.post("/api/explain", self._post(self._answers.explain)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._port)
        try:
            await site.start()
        except OSError as error:
            raise OSError(
                f"The page could not be served on {self.url}. The port must be free, and the "
                "address one of this machine. Stop who listens there, or choose another port."
            ) from error
        self._port = self._runner.addresses[0][1]

    async def _guarded(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """Answers what came to the right name, and gives every answer the same headers."""
        try:
            if _is_named(request.host, self._address):
                response = await handler(request)
            else:
                message = (
                    f"The request came for the host {request.host!r}, which is not this server. "
                    f"Open {self.url}, or pass the name by --address."
                )
                response = self._refusal(421, message)
        except self._web.HTTPException as error:
            response = self._refusal(error.status, _SAID.get(error.status, error.reason))
            response.headers.update({k: v for k, v in error.headers.items() if k == "Allow"})
        except Exception as error:
            _LOG.exception("A question could not be answered.")
            response = self._refusal(500, f"{type(error).__name__}: {error}")
        response.headers.update(self._headers)
        return response

    async def _get_page(self, _: Any) -> Any:
        return self._web.Response(text=self._page, content_type="text/html")

    async def _get_model(self, _: Any) -> Any:
        return await self._answered(self._answers.model)

    async def _get_items(self, request: Any) -> Any:
        query, asked = request.query.get("query", ""), request.query.get("limit", "20")
        # What is no number is refused as it came, with the words for all bad limits.
        limit = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else asked
        return await self._answered(self._answers.items, query, limit)

    def _post(self, answer: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        async def respond(request: Any) -> Any:
            # A form of another page can send text, but not this type without asking first.
            if request.content_type != "application/json":
                raise self._web.HTTPUnsupportedMediaType
            body = await request.read()
            return await self._answered(lambda: answer(_parsed(body)))

        return respond

    async def _answered(self, answer: Callable[..., Any], *arguments: Any) -> Any:
        def to_text() -> tuple[int, Any]:
            try:
                return 200, answer(*arguments)
            except (ValueError, TypeError) as error:
                return 400, str(error)

        status, found = await asyncio.get_running_loop().run_in_executor(self._worker, to_text)
        if status != 200:
            return self._refusal(status, found)
        return self._web.json_response(text=json.dumps(found, allow_nan=False))

    def _refusal(self, status: int, message: str) -> Any:
        return self._web.json_response({"error": message[:_MAX_MESSAGE]}, status=status)


def require_aiohttp() -> Any:
    """Returns the module `aiohttp.web`, or raises ImportError where it is not installed."""
    return require("aiohttp.web", by="the page")


_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SAID = {
    404: "There is nothing at this path. Open the page at /, or ask /api/model.",
    405: "This path is asked in another way: lists and explanations by POST, the rest by GET.",
    413: f"The question is longer than {MAX_BODY_BYTES:,} bytes, which is more than the longest "
    "history takes. Send the newest events.",
    415: "The question must be JSON. Send it with the heading Content-Type: application/json.",
}


def _page() -> str:
    return resources.files("hrec_tf.serving").joinpath("demo.html").read_text("utf-8")


def _policy(page: str) -> str:
    """What a browser lets the page do: run its own script and style, and ask this server."""
    digests = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
            for text in re.findall(f"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        )
        for tag in ("script", "style")
    }
    return (
        f"default-src 'none'; script-src {digests['script']}; style-src {digests['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _is_named(host: str, address: str) -> bool:
    """Whether a request came for this machine; by an address in figures, no name can mislead."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", address.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The question is no JSON ({error}), but must be an object. Send for example "
            '{"history": [["tea", 1700000000]]}.'
        ) from error
