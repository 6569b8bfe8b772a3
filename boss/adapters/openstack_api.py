"""One cloud's HTTP APIs through openstacksdk: who we are, where its services are, one call at a time. The only user of the library.

Rules:
- Settings come from clouds.yaml, or from OS_* variables when no cloud is named, read anew after a refused credential.
- Every call has time-outs, and no call is repeated: repeating is the caller's decision. (An expired token is renewed by the library: a
  call that was answered 401 did nothing.)
- Whatever fails becomes a ``CloudError``.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import openstack
import requests.exceptions
from keystoneauth1 import exceptions as keystone
from openstack.connection import Connection
from urllib3.exceptions import MaxRetryError, NewConnectionError

from boss.adapters.openstack_errors import CloudError, Effect, Silence, message_of, of_answer, of_silence
from boss.core.model import Refusal

#: Seconds for a connection, and for the answer to most calls.
CONNECT, READ = 10.0, 30.0
#: Nova's versions that we speak, best first: 2.69 lists servers of broken cells too, 2.67 knows volume types, 2.52 tags at creation.
_COMPUTE_VERSIONS = ("2.69", "2.52")
#: Cinder's: 3.27 lets go of attachments, which Pike's and later ones know.
_VOLUME_VERSION = "3.27"
_SERVICES = {"compute": "compute", "image": "image", "network": "network", "volume": "block_storage"}

_log = logging.getLogger(__name__)


class Api:
    """The cloud of this name in clouds.yaml; an empty name means the OS_* variables. Safe to use from several threads."""

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._version: str | None = None

    def get(self, service: str, path: str, what: str, **params: Any) -> dict[str, Any]:
        """The answer's document."""
        return self.call("GET", service, path, what, params=params)

    def pages(self, service: str, path: str, key: str, what: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page after page."""
        marker = ""
        while True:
            answer = self.call("GET", service, path, what, params=params | ({"marker": marker} if marker else {}))
            entries = answer.get(key) or []
            yield from entries
            links = answer.get(f"{key}_links") or []
            more = any(link.get("rel") == "next" for link in links) or bool(answer.get("next"))
            if not entries or not more:
                return
            marker = str(entries[-1]["id"])

    def call(
        self,
        method: str,
        service: str,
        path: str,
        what: str,
        json: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        read: float = READ,
    ) -> dict[str, Any]:
        """Ask one service once; ``what`` says for people what it is asked to do. Raises CloudError."""
        connection = self._connected()
        try:
            proxy = getattr(connection, _SERVICES[service])
            options: dict[str, Any] = {"json": json} if json is not None else {}
            if service == "compute" and (version := self._compute_version(proxy)):
                options["microversion"] = version
            if service == "volume":
                options["microversion"] = _VOLUME_VERSION
            answer = proxy.request(
                path,
                method,
                raise_exc=False,
                connect_retries=0,
                status_code_retries=0,
                timeout=(CONNECT, read),
                params=dict(params or {}),
                **options,
            )
        except keystone.ClientException as error:
            raise self._translated(service, error) from None
        except openstack.exceptions.SDKException as error:  # it could not even be asked which versions it speaks
            raise self._forget(of_silence(service, Silence.NOT_SENT, _first_line(error))) from None
        except CloudError:
            raise
        except Exception as error:  # of the library: whoever waits for this call must hear of it
            _log.exception("%s: could not %s", self._called(), what)
            raise CloudError(Refusal.UNKNOWN, f"the call to {what} went wrong: {_first_line(error)}", Effect.OPEN) from None
        if 200 <= answer.status_code < 300:
            return _document(answer)
        refused = of_answer(what, service, answer.status_code, answer.text, answer.headers, time.time())
        raise self._forget(refused) if refused.status == 401 else refused

    def has(self, service: str) -> bool:
        """Whether the cloud offers this service to us. Raises CloudError."""
        try:
            return getattr(self._connected(), _SERVICES[service]).get_endpoint() is not None
        except (keystone.EndpointNotFound, keystone.EmptyCatalog):
            return False
        except keystone.ClientException as error:
            raise self._translated(service, error) from None
        except openstack.exceptions.SDKException:
            return False

    def project(self) -> str:
        """The id of the project that we are in. Raises CloudError."""
        try:
            return str(self._connected().session.get_project_id() or "")
        except keystone.ClientException as error:
            raise self._translated("identity", error) from None

    def tags(self) -> bool:
        """Whether servers can have tags from their creation on. Raises CloudError."""
        try:
            return self._compute_version(self._connected().compute) is not None
        except keystone.ClientException as error:
            raise self._translated("compute", error) from None

    def expires(self) -> float | None:
        """Unix time at which the present token ends. Raises CloudError."""
        try:
            session = self._connected().session
            access = session.auth.get_access(session)
            return float(access.expires.timestamp()) if access.expires else None
        except keystone.ClientException as error:
            raise self._translated("identity", error) from None

    def close(self) -> None:
        """Forget the connection; calls that are under way end by themselves."""
        with self._lock:
            self._connection = None

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is None:
                try:
                    region = openstack.config.get_cloud_region(cloud=self.cloud or None)
                    connection = Connection(config=region)
                    connection.session.timeout = (CONNECT, READ)
                except (openstack.exceptions.SDKException, keystone.ClientException, OSError, ValueError) as error:
                    raise CloudError(Refusal.CREDENTIAL, self._unusable(error)) from None
                self._connection, self._version = connection, None
            return self._connection

    def _compute_version(self, proxy: Any) -> str | None:
        """The microversion that is used; None means Nova's oldest, which knows no tags. Raises CloudError while Nova does not tell."""
        if self._version is None:
            data = proxy.get_endpoint_data()
            if data is None or not data.max_microversion:
                raise self._forget(self._mute(proxy, data.url if data is not None else None))
            highest = tuple(data.max_microversion)
            fitting = (text for text in _COMPUTE_VERSIONS if tuple(map(int, text.split("."))) <= highest)
            self._version = next(fitting, "")
        return self._version or None

    def _mute(self, proxy: Any, url: str | None) -> CloudError:
        """Why Nova does not tell its versions: the library, which looks for them, keeps that to itself."""
        try:
            proxy.session.get(url or proxy.get_endpoint(), raise_exc=False, connect_retries=0, timeout=(CONNECT, READ))
        except keystone.ClientException as error:
            found = self._translated("compute", error)
            found.effect = Effect.NONE  # nothing was asked for
            return found
        return of_silence("compute", Silence.NOT_SENT, "it does not tell its versions")

    def _translated(self, service: str, error: keystone.ClientException) -> CloudError:
        """What the library's exception means; of a log-in that failed nothing was asked of the service itself."""
        login = isinstance(error, keystone.Unauthorized) or "/auth/tokens" in str(error)
        found = self._meaning("identity" if login else service, error)
        if login:
            found.effect = Effect.NONE
        return found

    def _meaning(self, service: str, error: keystone.ClientException) -> CloudError:
        cause = error.__context__
        if isinstance(error, keystone.Unauthorized):
            said = f"{self._called()} does not accept our credential (401): {message_of(str(error))}"
            return self._forget(CloudError(Refusal.CREDENTIAL, said, status=401))
        if isinstance(error, keystone.SSLError):
            return of_silence(service, Silence.NO_TLS, _first_line(error))
        if isinstance(error, keystone.ConnectTimeout | keystone.ConnectFailure | keystone.UnknownConnectionError):
            return self._forget(of_silence(service, _silence(cause), _detail(cause, error)))
        if isinstance(error, keystone.HttpError) and error.http_status:
            return of_answer("log in", service, error.http_status, str(error.message or ""), {}, time.time())
        if isinstance(error, keystone.EndpointNotFound | keystone.EmptyCatalog):
            return CloudError(Refusal.INVALID, f"{self._called()} has no {service} service for us: {_first_line(error)}")
        if isinstance(error, keystone.DiscoveryFailure):
            return of_silence(service, Silence.NOT_SENT, _first_line(error))
        return self._forget(CloudError(Refusal.CREDENTIAL, self._unusable(error), Effect.OPEN))

    def _forget(self, error: CloudError) -> CloudError:
        """Begin anew at the next call: with the credential, which somebody may have mended, and with where the services are."""
        self.close()
        return error

    def _unusable(self, error: Exception) -> str:
        """Why nothing can be asked: the entry is not there, or lacks something."""
        if self.cloud:
            found = openstack.config.OpenStackConfig()
            names = sorted(found.get_cloud_names())
            if self.cloud not in names:
                there = f"{found.config_filename} has: {', '.join(names)}" if found.config_filename else "there is no clouds.yaml"
                return f"there is no cloud {self.cloud!r}; {there}"
        return f"{self._called()} cannot be used: {_first_line(error)}"

    def _called(self) -> str:
        return f"the cloud {self.cloud!r}" if self.cloud else "the cloud of the OS_* variables"


def entry_of(cloud: str) -> dict[str, Any]:
    """What clouds.yaml (and secure.yaml) say of a cloud, secrets and all; empty when they do not know it."""
    entry: dict[str, Any] = openstack.config.OpenStackConfig().cloud_config.get("clouds", {}).get(cloud) or {}
    return dict(entry)


def _silence(cause: BaseException | None) -> Silence:
    """Whether a call can have reached the service; keystoneauth calls every broken call a failure to connect."""
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return Silence.NOT_SENT
    inner = cause.args[0] if isinstance(cause, requests.exceptions.ConnectionError) and cause.args else None
    if isinstance(inner, MaxRetryError) and isinstance(inner.reason, NewConnectionError):
        return Silence.NOT_SENT
    return Silence.LOST


def _detail(cause: BaseException | None, error: Exception) -> str:
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT:.0f} s"
    if isinstance(cause, requests.exceptions.ReadTimeout):
        return "no answer in time"
    text = str(cause or error)
    for words in (
        "Connection refused",
        "Name or service not known",
        "No route to host",
        "Network is unreachable",
        "Connection reset",
    ):
        if words.lower() in text.lower():
            return words.lower()
    if "without response" in text.lower():
        return "it closed the connection"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _document(answer: Any) -> dict[str, Any]:
    if not answer.content:
        return {}
    try:
        found = answer.json()
    except ValueError:
        raise CloudError(
            Refusal.UNAVAILABLE, "the cloud's answer is no JSON: is that address an OpenStack API?", Effect.ENDED
        ) from None
    return found if isinstance(found, dict) else {}
