"""A page on this machine that draws the streams of a running program: see `serve_inspector`."""
