"""The headers of the handshake: the program's own, and the ids of organization and project."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import cast

from ..options import ConnectionOptions, headers_problem
from .credentials import Credentials, provided
from .endpoint import check_credentials, unencrypted_host


def with_account_ids(options: ConnectionOptions, environment: Mapping[str, str]) -> ConnectionOptions:
    """Return the options with the ids of organization and project of the environment, where they have none.

    Raises `ConfigurationError` for an id that cannot be a header.
    """
    organization, project = options.organization, options.project
    return dataclasses.replace(
        options,
        organization=environment.get("OPENAI_ORG_ID", "") if organization is None else organization,
        project=environment.get("OPENAI_PROJECT_ID", "") if project is None else project,
    )


async def handshake_headers(url: str | None, options: ConnectionOptions, credentials: Credentials) -> Mapping[str, str]:
    """Return the headers for one connection to a base URL: those of the options, the key, and the ids.

    The ids are left out where a header of the program replaces them, where an `api-key` header is for another
    service, and where a key must not be sent.  Raises what `provided` raises for a function that returns the headers
    or the key, and `ConfigurationError` for a credential among these headers that must not be sent.
    """
    headers = options.headers
    if callable(headers):
        found = await provided(headers, "headers", options.connect_timeout, headers_problem)
        headers = dict(cast("Mapping[str, str]", found))
        check_credentials(
            url,
            has_key=False,
            headers=headers,
            allow_insecure=options.allow_insecure_credentials,
            proxy=options.proxy,
        )
    made = dict(headers)
    own = {name.lower() for name in headers}
    if "api-key" not in own and (options.allow_insecure_credentials or unencrypted_host(url, options.proxy) is None):
        ids = {"OpenAI-Organization": options.organization, "OpenAI-Project": options.project}
        made.update((name, value) for name, value in ids.items() if value and name.lower() not in own)
    key = await credentials.get(options.connect_timeout, own)
    if key is not None:
        made["Authorization"] = f"Bearer {key}"
    return made
