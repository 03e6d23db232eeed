"""Marble diagrams of recorded streams, as SVG and as a page of HTML: see `rxresponses marbles`."""
