"""apprise, held to our rules: its requests are sent by our HTTP client, it writes no log, and it reads no file.

Only what sends to chats loads it: it takes 0.3 s of a processor and 30 MB.
"""

from __future__ import annotations

import logging
import re
import sys
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

import apprise
import requests
from apprise import NotifyBase as NotifyBase  # noqa: PLC0414 - for who may not import the library
from apprise.plugins import url_to_dict
from requests.adapters import BaseAdapter

from app.domain.chat_address import schema_of
from app.domain.errors import DeliveryError, PermanentError
from app.domain.outcome import Reason
from infrastructure.channels.chat_exchange import Exchange
from infrastructure.channels.http_client import Request

#: Who messages say they are from, where a service asks for a name.
_NAME: Final = "Notify"
#: Parameters of URLs that name files: templates, keys, what is attached.
_NAMES_FILES: Final = re.compile("attach|cert|file|path|template")
#: Services whose URLs have a host, and where that is. Others with a host may be anywhere that webhooks may.
_HOSTS: Final[Mapping[str, tuple[str, ...]]] = dict.fromkeys(
    ("workflow", "workflows"), (".logic.azure.com", ".environment.api.powerplatform.com")
)
#: Headers of a request that are the connection's to set; of a compressed answer nothing could be read.
_NOT_OURS: Final = {"accept-encoding", "connection", "content-length", "host", "transfer-encoding"}

#: Of the call that this thread makes. Without one nothing is sent.
_under_way: ContextVar[Exchange] = ContextVar("_under_way")


class ChatLibrary:
    """All that is asked of apprise. Threads may share it."""

    def __init__(self) -> None:
        logger = logging.getLogger("apprise")  # it tells of URLs and answers
        logger.disabled = True
        self._modules = 0
        self._asset = apprise.AppriseAsset(
            app_id=_NAME,
            app_desc=_NAME,
            app_url="",
            image_url_mask="",
            image_url_logo="",
            image_path_mask=False,
            async_mode=False,
            pgp_autogen=False,
            pem_autogen=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,
            service_timeout=0,  # else it makes calls in threads of its own
        )

    def service(self, url: str, allowed: Collection[str]) -> NotifyBase:
        """What sends to the URL. Asks nobody.

        Raises PermanentError: invalid_address for what is no URL of any service, forbidden_address for one that is not
        allowed, that does not go by HTTP, or that reads files.
        """
        if not schema_of(url):
            raise PermanentError(Reason.INVALID_ADDRESS, "not a chat URL")
        if schema_of(url) not in allowed:
            raise _forbidden("its service is none of NOTIFY_CHAT_SCHEMAS")
        parsed = url_to_dict(url)
        if len(sys.modules) != self._modules:  # it loads its own when it needs them
            self._modules = len(sys.modules)
            _go_by_our_client()
        if parsed is None or parsed.get("schema") not in allowed:
            raise PermanentError(Reason.INVALID_ADDRESS, "not a URL of its service")
        if any(_NAMES_FILES.search(name) and value for name, value in parsed.get("qsd", {}).items()):
            raise _forbidden("it names a file")
        if not _is_at_home(parsed):
            raise _forbidden("its host is none of the service")
        made = apprise.Apprise.instantiate(parsed, asset=self._asset)
        if made is None:
            raise PermanentError(Reason.INVALID_ADDRESS, "not a URL of its service")
        if getattr(made, "template", None):
            raise _forbidden("it names a file")
        if not _goes_by_our_client(type(made)):
            raise _forbidden("its service does not go by HTTP")
        return made

    def say(self, service: NotifyBase, title: str, text: str, exchange: Exchange) -> bool:
        """Whether the service has taken the message: one, cut where it is longer than the service takes."""
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
        # What it would wait for, or try again, is for the pipeline to do.
        service.retry, service.optional = 0, False
        service.throttle = _do_not_wait  # type: ignore[method-assign]  # of this one alone
        told = apprise.Apprise(service, asset=self._asset)
        body, title = (text, title) if text else (title, "")
        token = _under_way.set(exchange)
        try:
            is_sent = told.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
        finally:
            _under_way.reset(token)
        return bool(is_sent) and exchange.has_answers

    def place(self, service: NotifyBase) -> str:
        """What fails together: the service, with its host where its URLs name one; elsewhere a token stands there."""
        templates: Sequence[str] = service.templates
        has_host = any("{host}" in template for template in templates)
        return f"{service.schema}:{service.host}:{service.port or ''}" if has_host else str(service.schema)


def _forbidden(why: str) -> PermanentError:
    return PermanentError(Reason.FORBIDDEN_ADDRESS, why)


def _is_at_home(parsed: Mapping[str, Any]) -> bool:
    hosts = _HOSTS.get(str(parsed["schema"]))
    return hosts is None or str(parsed.get("host", "")).lower().endswith(hosts)


def _do_not_wait(*_args: Any, **_kwargs: Any) -> None:
    """In place of apprise's pauses between requests, which know no deadline."""


# requests, as the services of apprise see it


class _Adapter(BaseAdapter):
    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """By the exchange of the call under way; time-outs, proxies and certificates are that one's."""
        exchange = _under_way.get()
        try:
            answer = exchange.send(str(request.url), _request(request))
        except DeliveryError as error:
            raise requests.ConnectionError(error.reason, request=request) from error
        response = requests.Response()
        response.status_code, response.request, response.url = answer.status, request, str(request.url)
        response.headers.update(answer.headers)
        response._content = answer.body  # noqa: SLF001 - what an adapter sets that has the body already
        response.encoding = "utf-8"
        return response

    def close(self) -> None:
        """Nothing of its own to give back."""


class _Session(requests.Session):
    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        for scheme in ("https://", "http://"):
            self.mount(scheme, _Adapter())

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As requests', but no redirect is followed."""
        return super().request(*args, **(kwargs | {"allow_redirects": False}))


class _Requests(types.ModuleType):
    """The module requests, whose requests go by our client; all else is its own."""

    Session = session = _Session

    def __getattr__(self, name: str) -> Any:
        return getattr(requests, name)

    @staticmethod
    def request(method: str, url: str, **kwargs: Any) -> requests.Response:
        """As requests' own."""
        with _Session() as session:
            return session.request(method, url, **kwargs)


def _request(prepared: requests.PreparedRequest) -> Request:
    body: Any = prepared.body  # a text or bytes: nobody here posts a file
    headers = {name: _text(value) for name, value in prepared.headers.items() if name.lower() not in _NOT_OURS}
    return Request(str(prepared.method), body.encode() if isinstance(body, str) else body, headers)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _verb(method: str) -> Callable[..., requests.Response]:
    """`requests.post` and the like."""

    def call(url: str, data: Any = None, **kwargs: Any) -> requests.Response:
        given = {"params": data} if method == "GET" and data is not None else {"data": data}
        return _OURS.request(method, url, **(given | kwargs))

    return call


_OURS: Final = _Requests("requests")
for _method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
    setattr(_OURS, _method.lower(), _verb(_method))


def _go_by_our_client() -> None:
    """Have all of apprise's modules that are loaded see our requests and no other."""
    for name, module in list(sys.modules.items()):
        if name.startswith("apprise.") and getattr(module, "requests", None) is requests:
            module.requests = _OURS  # type: ignore[attr-defined]  # it is there


def _goes_by_our_client(kind: type) -> bool:
    return any(getattr(sys.modules.get(one.__module__), "requests", None) is _OURS for one in kind.__mro__)
