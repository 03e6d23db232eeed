"""Programs to read and to run: `python -m rxresponses.examples.NAME`.

They ask the official service when `OPENAI_API_KEY` is set, a server of your own when
`OPENAI_BASE_URL` is, and otherwise an embedded server that each starts for itself.
"""
