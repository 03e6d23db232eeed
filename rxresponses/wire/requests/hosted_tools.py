"""Definitions of tools that the server runs: searches, images, code, computer use, MCP servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from ..base import model
from .sent import Sent
from .shell_tools import ContainerNetworkPolicyAllowlist, ContainerNetworkPolicyDisabled


@model
class ComparisonFilter(Sent):
    """Compares the attribute `key` of a file with `value`; `type` is the comparison: `eq`, `gt`, `in`, …"""

    key: str
    value: str | float | bool | Sequence[str | float]
    type: str


@model
class CompoundFilter(Sent):
    """Several filters together; `type` is `and` or `or`."""

    filters: Sequence[ComparisonFilter | CompoundFilter | Mapping[str, Any]]
    type: str


@model
class RankingOptionsHybridSearch(Sent):
    """How much the meaning and how much the words of a passage count."""

    embedding_weight: float
    text_weight: float


@model
class RankingOptions(Sent):
    """How the passages that a file search finds are ranked; those below `score_threshold` (0 to 1) are left out."""

    hybrid_search: RankingOptionsHybridSearch | Mapping[str, Any] | UnsetType | None = UNSET
    ranker: str | UnsetType | None = UNSET
    score_threshold: float | UnsetType | None = UNSET


@model
class FileSearchTool(Sent):
    """A search in vector stores."""

    vector_store_ids: Sequence[str]
    filters: ComparisonFilter | CompoundFilter | Mapping[str, Any] | UnsetType | None = UNSET
    max_num_results: int | UnsetType | None = UNSET
    ranking_options: RankingOptions | Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["file_search"] = "file_search"


@model
class WebSearchToolFilters(Sent):
    """The only domains that a web search may use, their subdomains included."""

    allowed_domains: Sequence[str] | UnsetType | None = UNSET


@model
class WebSearchToolUserLocation(Sent):
    """Roughly where the user is: `country` is a two-letter code, `timezone` a name such as `Europe/Paris`."""

    city: str | UnsetType | None = UNSET
    country: str | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET
    timezone: str | UnsetType | None = UNSET
    type: Literal["approximate"] = "approximate"


@model
class WebSearchTool(Sent):
    """A search of the web; `search_context_size` (`low`, `medium`, `high`) says how much of it the model reads."""

    external_web_access: bool | UnsetType | None = UNSET
    filters: WebSearchToolFilters | Mapping[str, Any] | UnsetType | None = UNSET
    search_context_size: str | UnsetType | None = UNSET
    user_location: WebSearchToolUserLocation | Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["web_search", "web_search_2025_08_26"] = "web_search"


@model
class WebSearchPreviewTool(Sent):
    """The earlier web search."""

    search_content_types: Sequence[str] | UnsetType | None = UNSET
    search_context_size: str | UnsetType | None = UNSET
    user_location: WebSearchToolUserLocation | Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["web_search_preview", "web_search_preview_2025_03_11"] = "web_search_preview"


@model
class McpToolFilter(Sent):
    """Tools of an MCP server, by their names, or by whether they only read."""

    read_only: bool | UnsetType | None = UNSET
    tool_names: Sequence[str] | UnsetType | None = UNSET


@model
class McpToolApprovalFilter(Sent):
    """The tools of an MCP server that always need the user's approval, and those that never do."""

    always: McpToolFilter | Mapping[str, Any] | UnsetType | None = UNSET
    never: McpToolFilter | Mapping[str, Any] | UnsetType | None = UNSET


@model
class Mcp(Sent):
    """The tools of a remote MCP server, named by exactly one of `server_url`, `connector_id` and `tunnel_id`.

    `require_approval` is `always`, `never`, or a filter.  `authorization` and `headers` go to the MCP server, and are
    in no repr.
    """

    server_label: str
    server_url: str | UnsetType | None = UNSET
    connector_id: str | UnsetType | None = UNSET
    tunnel_id: str | UnsetType | None = UNSET
    server_description: str | UnsetType | None = UNSET
    authorization: str | UnsetType | None = UNSET
    headers: Mapping[str, str] | UnsetType | None = UNSET
    allowed_tools: Sequence[str] | McpToolFilter | Mapping[str, Any] | UnsetType | None = UNSET
    require_approval: str | McpToolApprovalFilter | Mapping[str, Any] | UnsetType | None = UNSET
    defer_loading: bool | UnsetType | None = UNSET
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    type: Literal["mcp"] = "mcp"


@model
class CodeInterpreterToolAuto(Sent):
    """A container that the server makes for the code interpreter; `memory_limit` is `1g`, `4g`, …"""

    file_ids: Sequence[str] | UnsetType | None = UNSET
    memory_limit: str | UnsetType | None = UNSET
    network_policy: (
        ContainerNetworkPolicyDisabled | ContainerNetworkPolicyAllowlist | Mapping[str, Any] | UnsetType | None
    ) = UNSET
    type: Literal["auto"] = "auto"


@model
class CodeInterpreter(Sent):
    """Python code that the model writes and the server runs, in the container of an id, or in a new one."""

    container: str | CodeInterpreterToolAuto | Mapping[str, Any]
    allowed_callers: Sequence[str] | UnsetType | None = UNSET
    type: Literal["code_interpreter"] = "code_interpreter"


@model
class ImageGenerationInputImageMask(Sent):
    """The part of an image to change, as an image: its URL (`data:` included) or its file id."""

    file_id: str | UnsetType | None = UNSET
    image_url: str | UnsetType | None = UNSET


@model
class ImageGenerationSvgReasoning(Sent):
    """How much the model thinks about a drawing."""

    effort: str | UnsetType | None = UNSET


@model
class ImageGenerationSvg(Sent):
    """Which model draws an SVG, and how."""

    model: str | UnsetType | None = UNSET
    reasoning: ImageGenerationSvgReasoning | Mapping[str, Any] | UnsetType | None = UNSET


@model
class ImageGeneration(Sent):
    """Making and changing images.

    `partial_images` is how many unfinished images are shown on the way; `output_compression` is in percent,
    `frame_duration_ms` in milliseconds.
    """

    action: str | UnsetType | None = UNSET
    background: str | UnsetType | None = UNSET
    complexity: str | UnsetType | None = UNSET
    frame_count: int | UnsetType | None = UNSET
    frame_duration_ms: int | UnsetType | None = UNSET
    input_fidelity: str | UnsetType | None = UNSET
    input_image_mask: ImageGenerationInputImageMask | Mapping[str, Any] | UnsetType | None = UNSET
    model: str | UnsetType | None = UNSET
    moderation: str | UnsetType | None = UNSET
    output_compression: int | UnsetType | None = UNSET
    output_format: str | UnsetType | None = UNSET
    partial_images: int | UnsetType | None = UNSET
    quality: str | UnsetType | None = UNSET
    size: str | UnsetType | None = UNSET
    svg: ImageGenerationSvg | Mapping[str, Any] | UnsetType | None = UNSET
    type: Literal["image_generation"] = "image_generation"


@model
class ComputerTool(Sent):
    """Use of a computer: the model asks for clicks, keys and screenshots, and the client gives them."""

    type: Literal["computer"] = "computer"


@model
class ComputerUsePreviewTool(Sent):
    """The earlier use of a computer: the size of its screen is in pixels; `environment` is `browser`, `linux`, …"""

    display_height: int
    display_width: int
    environment: str
    type: Literal["computer_use_preview"] = "computer_use_preview"
