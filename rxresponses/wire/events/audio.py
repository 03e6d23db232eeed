"""Events of spoken answers: the audio, and its transcript."""

from __future__ import annotations

from typing import Literal

from ..base import model
from .base import ServerEvent


@model
class ResponseAudioDeltaEvent(ServerEvent):
    """The next piece of audio, as base64."""

    type: Literal["response.audio.delta"] = "response.audio.delta"
    delta: str


@model
class ResponseAudioDoneEvent(ServerEvent):
    """The audio is complete."""

    type: Literal["response.audio.done"] = "response.audio.done"


@model
class ResponseAudioTranscriptDeltaEvent(ServerEvent):
    """The next characters of the transcript."""

    type: Literal["response.audio.transcript.delta"] = "response.audio.transcript.delta"
    delta: str


@model
class ResponseAudioTranscriptDoneEvent(ServerEvent):
    """The transcript is complete."""

    type: Literal["response.audio.transcript.done"] = "response.audio.transcript.done"
