"""Programs to read and to run: `python -m rxresponses.examples.NAME`.

They ask the official service when `OPENAI_API_KEY` is set, and your own server when `OPENAI_BASE_URL` is set.
Without both, each program starts an embedded server.
"""
