"""Definitions of tools for shells and patches, and of the places where they run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from ..base import model
from ..models.shell import ResponseContainerReference, ResponseLocalEnvironment
from .sent import Sent


@model
class ContainerNetworkPolicyDisabled(Sent):
    """The container has no network."""

    type: Literal["disabled"] = "disabled"


@model
class ContainerNetworkPolicyDomainSecret(Sent):
    """A credential that the container sends to one domain; `value`, the credential itself, is in no repr."""

    domain: str
    name: str
    value: str
    _secret_fields = Sent._secret_fields | {"value"}


@model
class ContainerNetworkPolicyAllowlist(Sent):
    """The only domains that the container reaches, and the credentials for them, which are in no repr."""

    allowed_domains: Sequence[str]
    domain_secrets: Sequence[ContainerNetworkPolicyDomainSecret | Mapping[str, Any]] | UnsetType | None = UNSET
    type: Literal["allowlist"] = "allowlist"


@model
class SkillReference(Sent):
    """A skill that the server stores, by its id."""

    skill_id: str
    version: str | UnsetType | None = UNSET
    type: Literal["skill_reference"] = "skill_reference"


@model
class InlineSkillSource(Sent):
    """The files of a skill, as a base64 zip archive."""

    data: str
    media_type: str = "application/zip"
    type: Literal["base64"] = "base64"


@model
class InlineSkill(Sent):
    """A skill that comes with the request."""

    name: str
    description: str
    source: InlineSkillSource | Mapping[str, Any]
    type: Literal["inline"] = "inline"


@model
class LocalSkill(Sent):
    """A skill in a folder of the client; `path` is that folder."""

    name: str
    description: str
    path: str


@model
class ContainerAuto(Sent):
    """A container that the server makes for the shell; `memory_limit` is `1g`, `4g`, …"""

    file_ids: Sequence[str] | UnsetType | None = UNSET
    memory_limit: str | UnsetType | None = UNSET
    network_policy: (
        ContainerNetworkPolicyDisabled | ContainerNetworkPolicyAllowlist | Mapping[str, Any] | UnsetType | None
    ) = UNSET
    skills: Sequence[SkillReference | InlineSkill | Mapping[str, Any]] | UnsetType | None = UNSET
    type: Literal["container_auto"] = "container_auto"


@model
class LocalEnvironment(Sent):
    """The client runs the commands itself, and has these skills for them."""

    skills: Sequence[LocalSkill | Mapping[str, Any]] | UnsetType | None = UNSET
    type: Literal["local"] = "local"


@model
class FunctionShellTool(Sent):
    """A shell; `environment` says where it runs: at the client, in a new container, or in an existing one."""

    environment: (
        ContainerAuto
        | LocalEnvironment
        | ResponseLocalEnvironment
        | ResponseContainerReference
        | Mapping[str, Any]
        | UnsetType
        | None
    ) = UNSET
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    type: Literal["shell"] = "shell"


@model
class LocalShell(Sent):
    """The earlier shell, which the client runs."""

    type: Literal["local_shell"] = "local_shell"


@model
class ApplyPatchTool(Sent):
    """Changes of files: the model writes diffs, and the client applies them."""

    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    type: Literal["apply_patch"] = "apply_patch"
