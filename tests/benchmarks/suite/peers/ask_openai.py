"""The shortest program that prints an answer with the official Python client over a WebSocket.

python -m tests.benchmarks.suite.peers.ask_openai URL PROMPT
"""

from __future__ import annotations

import sys

from openai import OpenAI


def main(url: str, prompt: str) -> None:
    client = OpenAI(api_key="bench", base_url=url.replace("ws", "http", 1))
    with client.responses.connect() as connection:
        connection.send({"type": "response.create", "model": "bench", "input": prompt})
        for event in connection:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.completed":
                break
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
