from __future__ import annotations

import threading

from rxresponses.testing import Hold, ResponsesServer

from .conftest import LINES, Batch, kill_a_worker


class TestOnRay:
    def test_the_results_are_those_of_one_process(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask(LINES)
        arguments = ("--url", server.url, "--concurrency", "32")
        assert batch("one", *arguments)[0] == 0
        code, err = batch("ray", *arguments, "--on", "ray", "--workers", "2")
        assert code == 0, err
        assert f"{LINES} of {LINES} answered, 0 failed" in err
        assert [line["line"] for line in batch.lines("ray")] == list(range(1, LINES + 1))
        assert batch.lines("ray") == batch.lines("one")

    def test_what_is_missing_is_done_by_the_next_run(self, batch: Batch, server: ResponsesServer) -> None:
        batch.ask(20)
        arguments = ("--url", server.url, "--on", "ray", "--workers", "2")
        assert batch("out", *arguments)[0] == 0
        whole = (batch.folder / "out").read_bytes()
        kept = b"".join(whole.splitlines(keepends=True)[:7])
        (batch.folder / "out").write_bytes(kept + whole[len(kept) : len(kept) + 30])  # a torn line
        assert batch("out", *arguments)[0] == 0
        assert (batch.folder / "out").read_bytes().startswith(kept)
        assert [line["line"] for line in batch.lines("out")] == list(range(1, 21))
        assert len(server.requests) == 20 + 13

    def test_a_worker_is_killed(self, batch: Batch) -> None:
        with ResponsesServer() as server:
            gate = server.gate()
            server.reply(*[Hold(gate)] * 8)
            batch.ask(60)
            killed: list[int] = []

            def kill() -> None:
                server.wait_until(lambda: len(server.requests) >= 8, timeout=60)
                killed.append(kill_a_worker())
                gate.open()

            thread = threading.Thread(target=kill)
            thread.start()
            code, err = batch("out", "--url", server.url, "--on", "ray", "--workers", "2", "--concurrency", "8")
            thread.join()
            assert code == 0, err
            assert [line["line"] for line in batch.lines("out")] == list(range(1, 61))
            assert "a worker is lost, and its 8 lines go to others" in err  # 4 in flight and 4 that wait for them
            assert len(server.requests) > 60  # those in flight were sent again
