"""Texts that are hard to cut into sentences, each with its sentences."""

# ruff: noqa: RUF001 - other scripts have marks that look like Latin ones

from __future__ import annotations

CODE = "```python\nprint('a. B')\n\n# End. Of\n```\n"

CASES: dict[str, list[str]] = {
    # Abbreviations.
    "title": ["Dr. Smith met Mrs. Jones. ", "They talked."],
    "latin": ["Use a tool, e.g. Docker, i.e. a container. ", "Then go on."],
    "versus": ["It is Apple vs. Samsung again. ", "Nobody won."],
    "country": ["The U.S. Army came. ", "It left."],
    "country at the end": ["He lives in the U.S. ", "He likes it."],
    "company": ["Apple Inc. CEO Tim Cook spoke. ", "We listened."],
    "company at the end": ["She works for Apple Inc. ", "She is happy."],
    "and so on": ["Bring pens, paper, etc. ", "Everybody writes."],
    "and so on in brackets": ["Bring things (pens, etc.) with you. ", "Go."],
    "authors": ["It was shown by Miller et al. (2020). ", "See there."],
    "number": ["See No. 5 and Fig. 3 below. ", "No. ", "That is all."],
    "degree": ["She has a Ph.D. in physics. ", "He has none."],
    "street": ["I live on Main St. ", "The house is red."],
    "date": ["We met on Jan. 5 in Rome. ", "It rained."],
    "unknown abbreviation": ["It took appr. five days. ", "Then it ended."],
    "German": ["Das ist z. B. Obst, d. h. gesund. ", "Herr Dr. Maier isst es bzw. Brot usw. ", "Gut."],
    "German ordinal": ["Am 3. Oktober kam er im 19. Jahrhundert. ", "Er blieb."],
    "German ordinal before any noun": [
        "Die 2. Liga und der 1. FC spielen im 3. Quartal. ",
        "Es war der 5. ",
        "Er kam.",
    ],
    "age before a name": ["I am 25. ", "Peter is 30."],
    "German degree": ["Das ist Prof. Dr. med. dent. Schmidt. ", "Tel. 123 45. ", "Er lebte 5 v. Chr. in Rom. ", "Gut."],
    "French": ["M. Dupont voit p. ex. Paris. ", "Il part."],
    "French era": ["César mourut en 44 av. J.-C. à Rome. ", "Il part."],
    "Spanish": ["La Sra. García vive en EE. UU. con él. ", "¿Por qué? ", "¡No sé!"],
    "Russian": ["Это т. е. пример, и т. д. и т. п. ", "Он здесь."],
    # Names and numbers.
    "initials": ["J. R. R. Tolkien wrote it. ", "I read it."],
    "one letter at the end": ["There is no plan B. ", "We go on."],
    "I at the end": ["So do I. ", "But not now."],
    "roman number": ["It was World War II. ", "The war ended."],
    "king": ["König Friedrich II. August regierte. ", "Er starb."],
    "decimal": ["Pi is 3.14, not 3.2. ", "It costs $5. ", "3 people paid."],
    "version": ["Use v2.0.1. ", "It works with Python 3.12. ", "Try it."],
    "thousands": ["It is 1.000.000,00 Euro. ", "Viel."],
    "time": ["We met at 5 p.m. on Friday. ", "We left at 6 p.m. ", "Then it rained."],
    "age": ["She is 25. ", "He is 30. ", "May I go?"],
    "address": ["Ping 192.168.0.1. ", "It answers."],
    # Marks.
    "ellipsis": ["Well... maybe not. ", "Wait… what? ", "So..."],
    "ellipsis at the end": ["He left... ", "She stayed."],
    "many marks": ["What?! ", "No!!! ", "Really?"],
    "quote": ['He said "Stop." ', "Then he left."],
    "quote that goes on": ['"Really?" he asked. ', '"Yes!" she said.'],
    "curly quotes": ["“It works.” ", "‘Fine.’ ", "Go."],
    "German quotes": ["Er sagt: „Gut.“ ", "Sie ruft: ‚Nein!‘ ", "„Ja?“ fragt er. ", "Gut."],
    "guillemets": ["« Oui. » ", "Il part. ", "»Ja.« ", "Er geht."],
    "brackets": ["It works (mostly.) ", "[See below.] ", "Go."],
    "bold": ["**Goal.** ", "Verify it. ", "*Now.* ", "Go."],
    "note": ["It is known.[1] ", "It is old.[^2] ", "See [the docs.](https://a.b/c_d) ", "Go."],
    "French space": ["Vraiment ? ", "Oui ! ", "Bien."],
    "name with a mark": ["I use Yahoo! as a search engine. ", "It is old."],
    # URLs and files.
    "URL": ["See https://a.example/b.c?d=e!f. ", "Then go."],
    "files": ["Open README.md and .gitignore in Node.js. ", "Use .NET too."],
    "mail": ["Write to a.b@c.example. ", "Wait."],
    # Other scripts.
    "Chinese": ["你好。", "我很好！", "真的吗？"],
    "Chinese with Latin marks": ["你好!", "我很好.", "真的?"],
    "Japanese quote": ["「はい。」と彼は言った。", "次です。"],
    "Hindi": ["नमस्ते। ", "आप कैसे हैं? ", "डॉ. शर्मा ठीक हैं।"],
    "Arabic": ["كيف حالك؟ ", "أنا بخير."],
    # Emoji.
    "emoji": ["Hello! 😊 ", "How can I help? 🎉🎉 ", "Great 👍🏽!👨‍👩‍👧 ", "Go."],
    "emoji in a sentence": ["I ❤️ New York a lot. ", "You?"],
    # Markdown and lines.
    "heading": ["# Title. With a point\n", "Text here. ", "More."],
    "list": ["1. First. ", "Go on.\n", "2. Second\n", "- third\n", "* fourth"],
    "steps in a line": ["Do this: 1. Open it. ", "2. Close it. ", "Step 3. Rest. ", "Done."],
    "table": ["| Name | Size |\n", "|---|---|\n| A. B | 3. 4 |\n\n", "Text."],
    "code": ["Try this:\n\n", CODE, "Good. ", "Next."],
    "code in a line": ["Run `a. B` and ``c`. D``. ", "Then `e. F`! ", "Go."],
    "rule": ["One.\n\n", "---\n\nTwo\n\n", "..."],
    "paragraphs": ["No mark here\n\n", "Next one"],
    "wrapped line": ["This line goes\non here. ", "Next\n", "Last"],
}
