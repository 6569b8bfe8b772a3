"""The table ``[notify]``: who is told what, and by which mail server."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from settings_types import Duration, Port, Section

_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}"
Address = Annotated[str, StringConstraints(pattern=rf"^{_ADDRESS}\z")]
Receiver = Annotated[str, StringConstraints(pattern=rf"^(owner|{_ADDRESS})\z")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}\z")]
Kinds = Literal["job_done", "job_failed", "job_paused", "failures", "pool_paused", "leak", "disk"]
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


class SmtpSettings(Section):
    """The mail server."""

    host: str = Field(
        default="", description="The mail server that messages go through; empty: none.", pattern=r"^$|^[A-Za-z0-9.:-]{1,253}$"
    )
    port: Port = Field(default=587, gt=0, description="Its port: 587 for `starttls`, 465 for `tls`.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How it is reached: TLS after a greeting, TLS from the start, or neither. A server that does not keep to it gets no "
        "mail.",
    )
    user: str = Field(default="", description="The log-in there; empty: none is needed.", pattern=r"^[^\x00-\x1f\x7f]*$")
    password: SecretStr = Field(default=SecretStr(""), description="Its password; better in `ECLOUD_NOTIFY__SMTP__PASSWORD`.")
    sender: Address | Literal[""] = Field(default="", description="The address that messages come from.")
    ca: Path | None = Field(default=None, description="PEM file of the CA of its certificate; default: what the system trusts.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.host and not self.sender:
            raise ValueError("a mail server needs a sender, the address that messages come from")
        if bool(self.user) != bool(self.password.get_secret_value()):
            raise ValueError("user and password go together")
        if self.user and self.security == "none" and not _LOOPBACK.fullmatch(self.host):
            raise ValueError("a password is not sent in the clear: set security to starttls or tls")
        return self


class TargetSettings(Section):
    """One place where messages go."""

    webhook: SecretStr = Field(
        default=SecretStr(""), description="URL (https) that gets a POST with JSON for each message; plain http only on loopback."
    )
    mail: list[Receiver] = Field(
        default=[],
        description="Addresses that get a mail for each message; `owner` stands for the owner of the job, as `people` has it.",
    )
    kinds: list[Kinds] = Field(
        default=["job_done", "job_failed", "job_paused", "failures", "pool_paused", "leak", "disk"],
        min_length=1,
        description="What it is told of.",
    )
    severity: Literal["info", "warning", "error"] = Field(default="info", description="How severe a notice must be at least.")
    owners: list[str] = Field(default=[], description="Only what is about jobs of these people; empty: everything.")
    secret: SecretStr = Field(
        default=SecretStr(""), description="Key with which messages to the webhook are signed (HMAC-SHA256)."
    )
    ca: Path | None = Field(
        default=None, description="PEM file of the CA of the webhook's certificate; default: what the system trusts."
    )
    template: Name | Literal[""] = Field(
        default="",
        description="Form of the webhook's JSON: `slack` is the file `slack.json.j2` in the folder `templates`; empty: ours.",
    )

    @field_validator("webhook")
    @classmethod
    def _safe(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url:
            return value
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("is no URL") from None
        if re.search(r"[\x00-\x20\x7f]", url) or not host or parts.scheme not in ("http", "https"):
            raise ValueError("is no URL: write it like https://chat.example.org/hooks/...")
        if parts.scheme == "http" and not _LOOPBACK.fullmatch(host):
            raise ValueError("is reached in the clear: write https (plain http is for loopback)")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        hook = bool(self.webhook.get_secret_value())
        if hook == bool(self.mail):
            raise ValueError("a target has either a webhook or mail")
        if not hook and (self.secret.get_secret_value() or self.ca or self.template):
            raise ValueError("secret, ca and template are for a webhook")
        return self


class NotifySettings(Section):
    """Being told."""

    gather: Duration = Field(
        default=30.0,
        description="How long the first notice waits for others, which go into the same message; while they keep coming, the interval "
        "between two messages grows to a quarter of an hour.",
    )
    retry_for: Duration = Field(default=86400.0, description="How long a message that does not arrive is tried again.")
    burst_failures: int = Field(
        default=20, gt=0, description="So many attempts of one job that fail within `burst_window` are told."
    )
    burst_window: Duration = Field(default=300.0, description="That time; a job's failures are told once an hour at most.")
    disk: float = Field(
        default=0.9, gt=0, le=1, description="The used part of the boss's or the datastore's disk from which on it is told."
    )
    templates: Path | None = Field(
        default=None,
        description="Folder with templates (jinja2) of your own: `subject.txt.j2`, `text.txt.j2`, `<template>.json.j2`.",
    )
    people: dict[str, Address] = Field(default={}, description="Addresses by name, for `owner`: the names are those of tokens.")
    smtp: SmtpSettings = SmtpSettings()
    targets: dict[Name, TargetSettings] = {}

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        for name, target in self.targets.items():
            if target.mail and not self.smtp.host:
                raise ValueError(f"targets.{name} sends mail, and smtp names no host")
            if target.template and self.templates is None:
                raise ValueError(f"targets.{name} has a template, and templates names no folder")
        return self
