from __future__ import annotations

from rxresponses.batch.ray.cluster import first_line


class TestFirstLine:
    def test_of_a_lost_process(self) -> None:
        assert first_line(RuntimeError("\n  The actor died.\n\tclass_name: Worker\n")) == "The actor died."

    def test_of_an_actor_that_could_not_be_made(self) -> None:
        text = "The actor died because of an error raised in its creation task, ray::Worker.__init__() (pid=7)\n"
        text += "  File \"worker.py\", line 7\nModuleNotFoundError: No module named 'rxresponses'\n\n"
        assert first_line(RuntimeError(text)) == "ModuleNotFoundError: No module named 'rxresponses'"

    def test_without_a_text(self) -> None:
        assert first_line(RuntimeError()) == "RuntimeError"
