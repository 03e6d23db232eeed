"""Marble diagrams in the tests of users."""

from __future__ import annotations

import time
from typing import Any

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

from rxresponses import (
    ConnectionLostError,
    ResponseCompletedEvent,
    ResponseCreate,
    ResponseFailedError,
    ResponsesWebSocket,
    ResponseTextDeltaEvent,
)
from rxresponses import operators as rops
from rxresponses.testing import ResponsesServer
from rxresponses.testing.marble_events import response_events
from rxresponses.testing.marble_text import Token, aligned, parse
from rxresponses.testing.marbles import assert_marbles, marble_reply

HI = ResponseCreate(model="m", input="Hi")


def message(*args: Any, **options: Any) -> str:
    """Return what a failing assertion says."""
    with pytest.raises(AssertionError) as raised:
        assert_marbles(*args, **options)
    return str(raised.value)


def kinds(stream: str) -> list[tuple[int, str]]:
    return [(frame, event["type"].removeprefix("response.")) for frame, event in response_events(stream)]


class TestText:
    def test_signs(self) -> None:
        assert parse("c-(He)-{f 1}a|") == (
            *((Token("letter", "c"),), (), (Token("text", "He"),), (), (Token("braces", "f 1"),)),
            *((Token("letter", "a"),), (Token("completed", "|"),)),
        )

    def test_several_in_one_frame(self) -> None:
        assert parse("[(a)b|]--") == ((Token("text", "a"), Token("letter", "b"), Token("completed", "|")), (), ())
        assert parse("[]") == ((),)

    def test_spaces_and_line_breaks_are_nothing(self) -> None:
        assert parse(" c -\n (a b) ") == parse("c-(a b)")

    @pytest.mark.parametrize("text", ["a) b", "\\", "two\nlines", "(", "{}", "", "\t\r\x1b[31m", "\u202e😀\U000e0001"])
    def test_escapes(self, text: str) -> None:
        token = Token("text", text)
        assert parse(str(token)) == ((token,),)

    @given(st.text())
    def test_any_text_can_be_written(self, text: str) -> None:
        shown = str(Token("text", text))
        assert parse(shown) == ((Token("text", text),),)
        assert shown.isprintable()

    def test_braces_are_in_pairs(self) -> None:
        assert parse('{f {"a": {}}}') == ((Token("braces", 'f {"a": {}}'),),)
        assert str(Token("braces", "x")) == "{x}"

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a-?", "character 3: '?' has no meaning here"),
            ("(a", "character 1: ( is not closed with )"),
            ("(a\\", "character 1: ( is not closed with )"),
            ("-{a{}", "character 2: { is not closed with }"),
            ("[ab", "character 4: the group is not closed with ]"),
            ("[[", "character 2: '[' has no meaning here"),
            ("[a-]", "character 3: '-' has no meaning here"),
            ("a]", "character 2: ']' has no meaning here"),
            ("|a", "character 2: nothing may follow the end"),
            ("#|", "character 2: nothing may follow the end"),
            ("é", "character 1: 'é' has no meaning here"),
            ("(f(x))", r"character 6: ')' has no meaning here; in a text it is written \)"),
            ("(\\x1)", "character 2: \\x needs the 2 hexadecimal digits of a character"),
            ("(\\u12_4)", "character 2: \\u needs the 4 hexadecimal digits of a character"),
            ("(\\U00110000)", "character 2: \\U needs the 8 hexadecimal digits of a character"),
        ],
    )
    def test_a_wrong_diagram_says_where(self, text: str, problem: str) -> None:
        with pytest.raises(ValueError, match="marble diagram") as raised:
            parse(text)
        said, shown, mark = str(raised.value).split("\n")
        assert said == f"marble diagram, {problem}"
        assert shown == f"    {text}"
        assert mark.index("^") == 4 + int(problem.split()[1].rstrip(":")) - 1

    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ("c-(日本)-?", ["    c-(日本)-?", "             ^"]),
            ("c\n\t?", ["    c \\t?", "      ^"]),
            ("-" * 50 + "?" + "-" * 50, ["    …" + "-" * 30 + "?" + "-" * 29 + "…", " " * 35 + "^"]),
        ],
    )
    def test_a_wrong_diagram_shows_where(self, text: str, lines: list[str]) -> None:
        with pytest.raises(ValueError, match="marble diagram") as raised:
            parse(text)
        assert str(raised.value).split("\n")[1:] == lines

    def test_lines_one_above_the_other(self) -> None:
        assert aligned([("a", ["-", "(x)"]), ("long", ["(yy)", "-", "|"])], [1]) == (
            "a     -    (x)\nlong  (yy) -   |\n           ^^^"
        )
        assert aligned([("a", []), ("b", [])]) == "a\nb"

    def test_wide_and_combining_characters(self) -> None:
        assert aligned([("a", ["(日本)", "-"]), ("b", ["(e\u0301)", "|"])], [1]) == (
            "a  (日本) -\nb  (e\u0301)    |\n          ^"
        )

    def test_long_lines_are_shown_in_parts(self) -> None:
        cells = [f"({number:04})" for number in range(200)]
        other = [*cells[:100], "(x)", *cells[101:]]
        assert aligned([("expected", cells), ("actual", other)], [100]).splitlines() == [
            "frames 91 to 103:",
            "expected  " + " ".join(cells[91:104]),
            "actual    " + " ".join([*cells[91:100], "(x)   ", *cells[101:104]]),
            " " * (10 + 9 * 7) + "^" * 6,
        ]
        shown = aligned([("expected", cells), ("actual", [])], range(200)).splitlines()
        assert len(shown) == 5 * 4 + 1
        assert shown[-1] == "and more behind frame 64"
        assert len(aligned([("a", cells)]).splitlines()) == 10 + 1
        assert aligned([("a", ["-", "x" * 300, "-"])], [1]).splitlines() == [
            "frames 1 to 1:",
            f"a  {'x' * 300}",
            f"   {'^' * 300}",
        ]


class TestEvents:
    def test_a_message(self) -> None:
        assert kinds("cp-(He)-(llo)-C|") == [
            (0, "created"),
            (1, "in_progress"),
            *((3, "output_item.added"), (3, "content_part.added"), (3, "output_text.delta")),
            (5, "output_text.delta"),
            *((7, "output_text.done"), (7, "content_part.done"), (7, "output_item.done"), (7, "completed")),
        ]

    def test_the_response_is_whole(self) -> None:
        events = [event for _, event in response_events("c(He)(llo)C")]
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[0]["response"]["status"] == "in_progress"
        assert response_events("q")[0][1]["response"]["status"] == "queued"

    def test_a_call_and_a_message(self) -> None:
        found = response_events('c(Let me look.)-{get_weather {"city": "Paris"}}-C')
        assert (3, "function_call_arguments.delta") in kinds('c(Let me look.)-{get_weather {"city": "Paris"}}-C')
        (call,) = [item for item in found[-1][1]["response"]["output"] if item["type"] == "function_call"]
        assert (call["name"], call["arguments"]) == ("get_weather", '{"city": "Paris"}')
        assert [frame for frame, event in found if event["type"] == "response.content_part.done"] == [3]
        assert response_events("{now}C")[-1][1]["response"]["output"][0]["arguments"] == "{}"

    def test_a_message_behind_a_call(self) -> None:
        found = kinds("{f}(a)-{g}(b)C")
        assert [frame for frame, kind in found if kind == "output_item.added"] == [0, 1, 3, 4]
        assert [frame for frame, kind in found if kind == "output_item.done"] == [0, 3, 3, 5]

    @pytest.mark.parametrize(
        ("letter", "kind", "status"),
        [("C", "completed", "completed"), ("F", "failed", "failed"), ("N", "incomplete", "incomplete")],
    )
    def test_terminal_events(self, letter: str, kind: str, status: str) -> None:
        frame, event = response_events(f"c(a){letter}")[-1]
        assert (frame, event["type"], event["response"]["status"]) == (2, f"response.{kind}", status)

    def test_an_error(self) -> None:
        frame, event = response_events("-E")[-1]
        assert (frame, event["type"], event["error"]["code"]) == (1, "error", "server_error")

    def test_a_stream_without_a_terminal_event(self) -> None:
        assert kinds("c(a)-") == [
            (0, "created"),
            *((1, "output_item.added"), (1, "content_part.added"), (1, "output_text.delta")),
        ]
        assert kinds("") == []

    @pytest.mark.parametrize(
        ("stream", "problem"),
        [
            ("x", "x stands for no event; these do: c, q, p, C, F, N, E"),
            ("C(a)", r"\(a\) stands behind the terminal event C"),
            ("{ }", "needs the name of a function"),
        ],
    )
    def test_what_is_no_stream(self, stream: str, problem: str) -> None:
        with pytest.raises(ValueError, match=problem) as raised:
            response_events(stream)
        place = {"x": 0, "C(a)": 1, "{ }": 0}[stream]
        assert str(raised.value).endswith(f"\n    {stream}\n    {' ' * place}^")


class TestServer:
    def test_a_stream_with_its_timing(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(marble_reply("c-(He)-(llo)-C|", frame=0.02))
        start = time.monotonic()
        events = socket.send_request(HI).pipe(ops.to_list()).run()
        assert time.monotonic() - start >= 6 * 0.02
        assert [event.delta for event in events if isinstance(event, ResponseTextDeltaEvent)] == ["He", "llo"]
        assert isinstance(events[-1], ResponseCompletedEvent)
        assert events[-1].response.output_text == "Hello"

    def test_each_request_has_its_own_response(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.on("", marble_reply("c(a)C", frame=0))
        ids = [socket.send_request(HI).pipe(rops.final_response()).run().id for _ in range(2)]
        assert len(set(ids)) == 2

    def test_a_lost_connection(self, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(marble_reply("c-(He)-#", frame=0.001))
        texts: list[str] = []
        with pytest.raises(ConnectionLostError):
            socket.send_request(HI).pipe(rops.text_deltas(), ops.do_action(texts.append)).run()
        assert texts == ["He"]

    @pytest.mark.parametrize("letter", ["F", "E"])
    def test_a_failure(self, letter: str, server: ResponsesServer, socket: ResponsesWebSocket) -> None:
        server.reply(marble_reply(f"c(He){letter}", frame=0))
        with pytest.raises(ResponseFailedError):
            socket.send_request(HI).pipe(rops.collect_text()).run()

    def test_a_stream_needs_an_end(self) -> None:
        with pytest.raises(ValueError, match="has no end: neither C, F, N, E nor #"):
            marble_reply("c-(He)-|")
        with pytest.raises(ValueError, match="stands for no event"):
            marble_reply("c-x-C")


class TestAssertions:
    def test_operators_of_both_libraries(self) -> None:
        assert_marbles(
            "c-(He)-(llo)-C|",
            "--(HE)-(LLO)--|",
            rops.text_deltas(),
            ops.map(str.upper),
        )
        assert_marbles("c-(He)-(llo)-C|", "--(He)-(Hello)--|", rops.accumulate_text())
        assert_marbles("c-(He)-(llo)-C|", "------(Hello)|", rops.collect_text())

    def test_no_operator(self) -> None:
        for stream in ("cp-(He)-{f}-(llo)-C|", "c(a)N|", "cF|", "E|", "c(a)-", "", "c#"):
            expected = stream.replace("{f}", "-")
            assert_marbles(stream, expected)

    def test_events_that_begin_and_end_items_can_be_expected(self) -> None:
        added = rops.filter_by_type("response.output_item.added")
        assert_marbles("c-(a)-C|", "--{response.output_item.added}--|", added)
        assert_marbles("c-(a)-C|", "c-[{response.output_item.added}{response.content_part.added}(a)]-C|")

    def test_other_values(self) -> None:
        assert_marbles("c(a)(bc)C|", "-{1}{2}-|", rops.text_deltas(), ops.map(len))
        assert_marbles("c(a)(bc)C|", "-xy-|", rops.text_deltas(), ops.map(len), values={"x": 1, "y": 2})
        assert_marbles(
            "c(a)(b)C|", "--[x(b)]-|", rops.text_deltas(), ops.skip(1), ops.flat_map(both), values={"x": None}
        )

    def test_values_as_a_source(self) -> None:
        assert_marbles("a-b|", "b-d|", ops.map(lambda value: value * 2), values={"a": 1, "b": 2, "d": 4})

    def test_an_observable_as_a_source(self) -> None:
        assert_marbles(reactivex.of("a", "b"), "[(a)(b)|]")
        assert_marbles(reactivex.timer(2.0), "--[{0}|]")

    def test_timers_run_on_virtual_time(self) -> None:
        assert_marbles("a-b--c---|", "----b--c-|", ops.debounce(2.0), values={"a": 1, "b": 2, "c": 3})
        assert_marbles("a-b|", "-----a-b|", ops.delay(0.5), values={"a": 1, "b": 2}, frame=0.1)
        assert_marbles("c----(a)C|", "---#", rops.idle_timeout(3), rops.text_deltas())

    def test_errors(self) -> None:
        assert_marbles("c(He)F|", "-(He)#", rops.text_deltas(), error=ResponseFailedError)
        assert_marbles("c(He)#", "-(He)#", rops.text_deltas(), error=ConnectionLostError)
        assert_marbles("c(He)#", "-(He)#", rops.text_deltas())
        assert_marbles(reactivex.throw(ValueError("no")), "#", error=ValueError("no"))

    def test_the_message_shows_the_lines_one_above_the_other(self) -> None:
        assert message("c-(He)-(llo)-C|", "--(HE)-(LLO)--|", rops.text_deltas()) == (
            "the pipeline emitted something else than expected\n"
            "source    c - (He) - (llo) - C |\n"
            "expected  - - (HE) - (LLO) - - |\n"
            "actual    - - (He) - (llo) - - |\n"
            "              ^^^^   ^^^^^"
        )

    def test_a_value_too_late_and_one_too_many(self) -> None:
        said = message("c-(a)-(b)-C|", "-(a)---", rops.text_deltas())
        assert said.splitlines()[2:] == [
            "expected  - (a) -   - -",
            "actual    - -   (a) - (b) - - |",
            "            ^^^ ^^^   ^^^     ^",
        ]

    def test_a_pipeline_that_emits_nothing(self) -> None:
        assert message("", "(a)|").splitlines()[1:] == ["expected  (a) |", "actual", "          ^^^ ^"]

    def test_a_pipeline_that_goes_on(self) -> None:
        assert "|" in message("c(a)------C|", "-(a)", rops.text_deltas())

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (
                ValueError,
                "# is ConnectionLostError('the connection was lost, as the marble diagram says'), expected ValueError",
            ),
            (ConnectionLostError("x", delivery="started"), "expected ConnectionLostError('x')"),
        ],
    )
    def test_another_error(self, error: Any, said: str) -> None:
        assert said in message("c#", "-#", rops.text_deltas(), error=error)

    def test_an_error_in_place_of_the_end(self) -> None:
        said = message("c#", "-|", rops.text_deltas())
        assert said.endswith("# is ConnectionLostError('the connection was lost, as the marble diagram says')")
        assert "^" in message("c|", "-#", rops.text_deltas())
        assert "^" in message("c(a)C|", "-#", rops.text_deltas())

    def test_values_in_messages(self) -> None:
        said = message("ab|", "ba|", values={"a": 1, "b": {"k": 2}})
        assert "actual    a b |" in said
        assert "{[1]}" in message("a|", "b|", ops.map(lambda value: [value]), values={"a": 1, "b": 2})
        assert len(message("a|", "b|", values={"a": "x" * 500, "b": 2})) < 600
        assert "(c)" not in message("c(a)C|", "E")

    def test_between_two_frames(self) -> None:
        said = message("a|", "a|", ops.delay(0.5), values={"a": 1})
        assert "something came between two frames, at frame 0.500: choose another `frame`" in said

    def test_texts_that_look_alike(self) -> None:
        said = message(f"c({'x' * 300}y)C|", f"-({'x' * 300}z)-|", rops.text_deltas())
        assert "…xxxxxxxxxxxxxxz)" in said
        assert f"frame 1: the texts differ at character 301: expected '…{'x' * 20}z', not '…{'x' * 20}y'" in said
        assert max(map(len, said.splitlines())) < 120
        said = message("c(e\u0301)C|", "-(\xe9)-|", rops.text_deltas())
        assert r"frame 1: the texts differ at character 1: expected '\xe9', not 'e\u0301'" in said
        said = message("c(a )[(b)(c)]C|", "-(a)[(b)(d)]-|", rops.text_deltas())
        assert said.splitlines()[-1] == "frame 1: the texts differ at character 2: expected 'a', not 'a '"

    def test_characters_that_cannot_be_seen(self) -> None:
        said = message("c(a\x1b[31m\tb)C|", "-(a)-|", rops.text_deltas())
        assert r"actual    - (a\x1b[31m\tb) - |" in said
        assert "\x1b" not in said

    def test_the_cause_of_an_error(self) -> None:
        with pytest.raises(AssertionError) as raised:
            assert_marbles("c(a)C|", "-(a)-|", rops.text_deltas(), ops.map(lambda _: 1 / 0))
        assert isinstance(raised.value.__cause__, ZeroDivisionError)

    def test_a_wrong_diagram(self) -> None:
        with pytest.raises(ValueError, match="has no meaning"):
            assert_marbles("c", "?")
        with pytest.raises(ValueError, match="x is none of `values`, and stands for no event") as raised:
            assert_marbles("c(a)|", "-[(a)x]|", values={"y": 1})
        assert str(raised.value).endswith("\n    -[(a)x]|\n         ^")

    def test_wrong_arguments(self) -> None:
        wrong: Any
        for wrong in (0, -1.0, float("nan")):
            with pytest.raises(ValueError, match="`frame` must be more than 0"):
                assert_marbles("c", "c", frame=wrong)
        for wrong in (None, 1, ["c"]):
            with pytest.raises(TypeError, match="`source` must be a marble diagram or an Observable"):
                assert_marbles(wrong, "|")
            with pytest.raises(TypeError, match="`expected` must be a marble diagram"):
                assert_marbles("|", wrong)


def both(text: str) -> reactivex.Observable[Any]:
    return reactivex.of(None, text)
