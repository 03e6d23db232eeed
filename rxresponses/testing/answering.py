"""What a server answers: the methods with which a test says so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..recording.file import load_recording
from ..recording.format import Recording as RecordedSession
from .model import ScriptedModel
from .plan import FaultPlan
from .playback import Match as PlaybackMatch
from .playback import Playback
from .replies import Reply
from .script import read_script
from .script_file import load_script
from .transcript import Recording
from .when import Match


class AnsweringServer:
    """The part of a server that holds its scripted model and its faults."""

    def __init__(self, plan: FaultPlan) -> None:
        self._model = ScriptedModel()
        self._plan = plan

    def reply(self, *replies: Reply) -> None:
        """Queue replies for the next responses.  Each response takes one when it starts.

        Each reply is one of these:

        - a string: the text of the answer;
        - an output, the content of the response: `Text`, `Json`, `Refusal`, `Reasoning`, `FunctionCall`,
          `CustomToolCall`, `McpApprovalRequest`, `ShellCall`, `LocalShellCall`, `ApplyPatchCall`, any other `Item`,
          `Interleaved` (several outputs at once, such as parallel calls), or `Raw` frames;
        - an intervention, which happens after as many events of the response as its `after` says, or at its place
          among the outputs with `after="here"`: `Failure`, `Delay`, `Hold`, `Close`, `Stall`, `Inject`, `Expire`;
        - a setting of the response: `Usage` (numbers of tokens), `Incomplete` (the model was cut off), `Pace` (the
          time between two events);
        - a sequence of these, such as `[Reasoning("Two cities."), FunctionCall("weather", {"city": "Paris"})]`.
          Without an output in it, the content is the answer that the server makes up;
        - a `Recording`: a recorded response.  Only interventions may stand beside it;
        - a function.  The server calls it with the `Request`, on its own thread; it returns one of the other forms.

        Raises:
            TypeError: for an argument that is not a reply.
        """
        self._model.reply(*replies)

    def on(self, match: Match, reply: Reply, *later: Reply, times: int | None = None) -> None:
        """Answer each request that matches with `reply`.

        Replies queued by `reply` or `replay` come first.  If several rules match, the first of them applies.  If no
        rule matches, the server makes up an answer, which says that no model answers and repeats the question, or the
        outputs of the calls.

        An agent with one tool needs one rule: `server.on("weather", FunctionCall("weather", {"city": "Paris"}))`.  A
        pattern about messages whose reply is a call does not apply to a request that brings the output of a call: the
        same call would follow again and again.  Such a request goes to the next rule that matches, for example
        `server.on(When(tool="weather", output="rain"), "Take an umbrella.")`.

        Args:
            match: a regular expression, which is searched in the text of the latest user message, in its first 100,000
                characters (`""` matches every request); a `When`, which also looks at outputs of calls, the model
                and the instructions; or a function that receives the `Request` and returns whether it matches.  The
                server calls the function on its own thread.
            reply: the answer, in one of the forms that `reply` describes.
            later: the answers to the second request that matches, to the third, and so on.  The last answer is that
                to all further ones.
            times: how many requests the rule answers.  Then the rules after it have their turn.

        Raises:
            TypeError: if `match` is nothing that can match, or an answer is not a reply.
            ValueError: if `times` is less than 1.
            re.error: if `match` is not a valid regular expression.
        """
        self._model.on(match, reply, *later, times=times)

    def script(self, source: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Add the rules and faults of a script, a file of JSON or, if PyYAML is installed, of YAML.

        A script in YAML::

            rules:                            # the first rule that matches answers
              - match: weather                # a regular expression, as in `on`
                reply:
                  - reasoning: The user wants to know the weather.
                  - function_call: {name: weather, arguments: {city: Paris}}
              - match: {tool: weather, output: {contains: rain}}
                reply: Take an umbrella.
              - match: {message: {exact: Hello}, model: ^gpt-5}
                replies: [Hello!, Hello again!]   # in turn, as the replies of `on`
                times: 2
            default: [I do not know., pace: 0.05]
            faults:
              - close: {code: 1006, after: 3}     # as `Fault(Close(1006, after=3), request=2)`
                request: 2

        A reply is a text, a part, or a list of these.  The parts are the classes that `reply` takes, with their names
        in lower case and underscores (`function_call`, `refusal`, `delay`), and with their arguments; a single value
        is the first argument.  A condition is a regular expression, `{exact: …}` or `{contains: …}`.  The faults are
        the classes that `Fault` takes, with the arguments of `Fault` beside them.

        Args:
            source: the path of the file, or its content as a mapping.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if something in the script is wrong.  The error names the place, and what is expected there.
        """
        read = read_script(dict(source)) if isinstance(source, Mapping) else load_script(source)
        for rule in read.rules:
            self._model.on(rule.match, *rule.replies, times=rule.times)
        self._plan.add(*read.faults)

    def replay(
        self, source: str | os.PathLike[str] | Iterable[Mapping[str, Any] | str], *, speed: float | None = None
    ) -> int:
        """Queue the recorded responses of a transcript, each as the reply to one request.

        The events are sent as recorded.  On a named lane each gets the `stream_id` of the request.

        Args:
            source: the path of a JSON Lines file or of a recording, or the events as mappings or as lines.  A line of
                the form `{"offset": seconds, "event": {...}}` carries the time of its event.
            speed: 1.0 keeps the recorded times, 2.0 is twice as fast, `None` sends as fast as the client reads.

        Returns:
            The number of responses in the transcript.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if a line is not an event, or `speed` is not positive.
        """
        recordings = Recording.load(source, speed=speed)
        self._model.reply(*recordings)
        return len(recordings)

    def play(
        self,
        recording: str | os.PathLike[str] | RecordedSession,
        *,
        match: PlaybackMatch = "strict",
        speed: float | None = None,
    ) -> Playback:
        """Play a recording back: answer each request as it was answered when it was recorded.

        Replies queued by `reply` or `replay`, and earlier rules, come first.  Requests are compared by their content:
        not by their lanes, their `metadata`, the order of keys, and secrets that the recording hides.  Each recorded
        answer is played once; equal requests get their answers in turn.  Where a connection was lost, or the recording
        ends in the midst of an answer, the connection is closed.  Steers are not played back.

        Args:
            recording: the path of the file, or what `load_recording` has read.  The answers in a file with one event a
                line fit any request, in their order.
            match: `strict` refuses an unknown request with an error `no_recorded_response`, which says what differs
                from the nearest recorded request.  `lenient` answers it with the next answer to a request of the same
                model, tools and kind of input, and repeats the last one.
            speed: 1.0 keeps the recorded times, 2.0 is twice as fast, `None` sends as fast as the client reads.

        Returns:
            The playback; its `unplayed` names the recorded requests that were not asked yet.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if the file is no recording, has no answer, or if an argument is wrong.
        """
        session = recording if isinstance(recording, RecordedSession) else load_recording(recording)
        name = "" if isinstance(recording, RecordedSession) else os.fsdecode(recording)
        playback = Playback.of(session, name, match=match, speed=speed)
        self._model.play(playback)
        return playback
