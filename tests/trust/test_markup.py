"""Untrusted text is shown as it is, and never interpreted as markup."""

from __future__ import annotations

from samplerzoo.trust.markup import code, fenced, plain, plotted, tagged, visible


def test_a_terminal_is_told_nothing() -> None:
    assert visible("tabby cat, größer, 猫") == "tabby cat, größer, 猫"
    assert visible("\x1b[2Jcat\r\n\ud800\u202e") == r"\x1b[2Jcat\r\n\ud800\u202e"
    assert visible("two\n\tlines\x07", lines=True) == "two\n\tlines\\x07"
    assert visible("a\u00a0b\u3000c") == "a\u00a0b\u3000c"


def test_markdown_shows_what_it_would_obey() -> None:
    assert plain("ddim eta 0.5, no lower_order_final, fd_mnist@2000") == (
        "ddim eta 0.5, no lower_order_final, fd_mnist@2000"
    )
    assert plain("<script>") == r"\<script\>"
    assert plain("a|b [x](y) *z* _u_ `c` $m$ &lt;") == r"a\|b \[x\](y) \*z\* \_u\_ \`c\` \$m\$ \&lt;"
    assert plain("one\n\n# two") == r"one \# two"


def test_code_is_as_long_as_it_looks() -> None:
    assert code("train") == "`train`"
    assert code("a`b``c") == "```a`b``c```"
    assert code("`a`") == "`` `a` ``"
    assert code("a|b\nc") == r"`a\|b c`"
    assert fenced("x\n```\ny", "sh") == "````sh\nx\n```\ny\n````"


def test_tags_and_formulas_are_text() -> None:
    assert tagged("</summary><b>&") == "&lt;/summary&gt;&lt;b&gt;&amp;"
    assert plotted("$x^$") == r"\$x^\$"
    assert plotted("_hidden") == " _hidden"
