"""Refusals of an OpenStack cloud: each text is one that a real Zed cloud (tests/openstack) or one of its proxies has said."""

import json

import pytest

from boss.adapters.openstack_errors import CloudError, Effect, Silence, message_of, of_answer, of_silence
from boss.core.model import Refusal

NOW = 1_800_000_000.0


def nova(kind: str, code: int, message: str) -> str:
    return json.dumps({kind: {"code": code, "message": message}})


def neutron(kind: str, message: str) -> str:
    return json.dumps({"NeutronError": {"type": kind, "message": message, "detail": ""}})


def refused(status: int, body: str, headers: dict[str, str] | None = None) -> CloudError:
    return of_answer("create a server of flavor lab.8", "compute", status, body, headers or {}, NOW)


CORES = nova("forbidden", 403, "Quota exceeded for cores: Requested 8, but already used 4 of 6 cores")
ALL = nova(
    "forbidden",
    403,
    "Quota exceeded for cores, instances, ram: Requested 2, 1, 4096, but already used 6, 3, 12288 of 6, 3, 16384 cores, instances, ram",
)
SEVERAL = nova(
    "forbidden",
    403,
    "Quota exceeded for cores, instances, ram: Requested 14, 1-7, 28672, but already used 6, 3, 12288 of 6, 3, 16384 cores, "
    "instances, ram.",
)
PORTS = nova("forbidden", 403, "Maximum number of ports exceeded")
POLICY = nova("forbidden", 403, "Policy doesn't allow os_compute_api:servers:create:zone_forced to be performed.")
KEYSTONE = json.dumps(
    {"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}
)
FAILED = nova(
    "computeFault",
    500,
    "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.\n"
    "<class 'oslo_db.exception.DBConnectionError'>",
)
HAPROXY = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>\n"
NGINX = "<html>\r\n<head><title>504</title></head>\r\n<body>\r\n<center><h1>504 Gateway Time-out</h1></center></body></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "effect", "said"),
    [
        (403, CORES, "QUOTA", "NONE", "the project's quota does not allow it - cores: 8 asked for, 4 of 6 used"),
        (
            403,
            ALL,
            "QUOTA",
            "NONE",
            "cores: 2 asked for, 6 of 6 used; instances: 1 asked for, 3 of 3 used; ram: 4096 asked for, 12288 of",
        ),
        (
            403,
            SEVERAL,
            "QUOTA",
            "NONE",
            "cores: 14 asked for, 6 of 6 used; instances: 1-7 asked for, 3 of 3 used; ram: 28672 asked",
        ),
        (403, PORTS, "QUOTA", "NONE", "the project's quota is used up: Maximum number of ports exceeded"),
        (
            409,
            neutron("OverQuota", "Quota exceeded for resources: ['port']."),
            "QUOTA",
            "NONE",
            "Quota exceeded for resources: ['port']",
        ),
        (
            409,
            neutron("IpAddressGenerationFailure", "No more IP addresses available on network 4a."),
            "QUOTA",
            "NONE",
            "No more IP add",
        ),
        (
            413,
            nova("overLimit", 413, "This request was rate-limited."),
            "BUSY",
            "NONE",
            "gets too many requests (413)",
        ),
        (413, nova("overLimit", 413, "Quota exceeded for volumes"), "QUOTA", "NONE", "Quota exceeded for volumes"),
        (
            403,
            POLICY,
            "CREDENTIAL",
            "NONE",
            "our credential may not do that (403) - create a server of flavor lab.8: Policy doesn't allow",
        ),
        (
            401,
            KEYSTONE,
            "CREDENTIAL",
            "NONE",
            "does not accept our credential (401: The request you have made requires authentication)",
        ),
        (400, nova("badRequest", 400, "Invalid key_name provided."), "INVALID", "NONE", "lab.8: Invalid key_name provided (400)"),
        (404, nova("itemNotFound", 404, "Image 7 could not be found."), "INVALID", "NONE", "Image 7 could not be found (404)"),
        (
            409,
            nova("conflictingRequest", 409, "Cannot 'delete' instance 7 while it is in vm_state building"),
            "CONFLICT",
            "NONE",
            "(409)",
        ),
        (500, FAILED, "UNAVAILABLE", "ENDED", "the compute service failed (500: Unexpected API Error)"),
        (
            503,
            HAPROXY,
            "UNAVAILABLE",
            "ENDED",
            "failed (503: 503 Service Unavailable No server is available to handle this request)",
        ),
        (504, NGINX, "UNAVAILABLE", "OPEN", "the compute service does not answer its gateway (504)"),
        (502, "", "UNAVAILABLE", "OPEN", "(502)"),
        (302, "", "UNKNOWN", "ENDED", "makes no sense (302)"),
    ],
)
def test_each_refusal_has_its_kind_its_effect_and_a_sentence(status: int, body: str, kind: str, effect: str, said: str) -> None:
    error = refused(status, body)
    assert (error.kind, error.effect, error.status) == (Refusal[kind], Effect[effect], status)
    assert said in error.reason
    assert "launchpad" not in error.reason


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"retry-after": "3"}, 3.0),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"Retry-After": "999999"}, 3600.0),
        ({"Retry-After": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_wait_that_a_busy_cloud_asks_for_is_kept_within_an_hour(header: dict[str, str], seconds: float) -> None:
    error = refused(429, "", header)
    assert (error.kind, error.effect) == (Refusal.BUSY, Effect.NONE)
    assert error.retry_after == seconds


def test_only_a_call_that_never_left_did_nothing_for_certain() -> None:
    unsent, lost = (
        of_silence("compute", Silence.NOT_SENT, "connection refused"),
        of_silence("compute", Silence.LOST, "no answer in time"),
    )
    assert (unsent.kind, unsent.effect) == (Refusal.UNAVAILABLE, Effect.NONE)
    assert (lost.kind, lost.effect) == (Refusal.UNAVAILABLE, Effect.OPEN)
    assert str(unsent) == "the compute service cannot be reached: connection refused"
    assert str(lost) == "the compute service did not answer: no answer in time"
    assert of_silence("image", Silence.NO_TLS, "self-signed certificate").kind is Refusal.INVALID


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"a": {"b": 1}}', "\x00\xff", "<", "{" * 1000, "x" * 100_000])
def test_no_answer_is_too_strange_to_be_told(body: str) -> None:
    assert len(message_of(body)) <= 400
    for status in (100, 204, 301, 400, 401, 403, 404, 409, 413, 418, 429, 499, 500, 502, 503, 504, 599, 700):
        assert len(refused(status, body).reason) <= 400
