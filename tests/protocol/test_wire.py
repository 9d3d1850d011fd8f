"""Directives and replies: what one side writes, the other reads, and nothing else is taken for either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import KNOBS
from holdfast.domain.settings import ID_BITS, ROW_BYTES_MAX
from holdfast.protocol.messages import (
    Ack,
    Directive,
    ErrorCode,
    Failure,
    Refused,
    Reply,
    Resume,
    StreamSettings,
    Summary,
    WireError,
)
from holdfast.protocol.wire import (
    DIRECTIVE_BYTES_MAX,
    REPLY_LINE_BYTES_MAX,
    ROW_NUMBER_MAX,
    encode,
    format_directive,
    parse_directive,
    parse_reply,
)

NUMBERS = st.integers(0, ROW_NUMBER_MAX)
NAMES = st.text("ABCxyz019._:/-", min_size=1, max_size=128)
REFUSED_CODES = st.sampled_from([outcome for outcome in Outcome if not outcome.is_applied])
DIRECTIVES = st.builds(
    Directive,
    stream=st.none() | NAMES,
    wants_acks=st.booleans(),
    wants_refused=st.booleans(),
    token=st.none() | st.text([chr(code) for code in range(33, 127)], min_size=1, max_size=200),
    first_row=st.none() | st.integers(1, ROW_NUMBER_MAX),
    digest=st.none() | st.integers(0, 2**64 - 1),
).filter(lambda directive: directive != Directive())


@st.composite
def summaries(draw: st.DrawFn) -> Summary:
    """Generate summaries, of anonymous streams and of named ones."""
    stream = draw(st.none() | NAMES)
    return Summary(
        rows=draw(NUMBERS),
        applied=draw(NUMBERS),
        refused_by_outcome=draw(st.dictionaries(REFUSED_CODES, NUMBERS)),
        skipped=draw(NUMBERS),
        sequence=draw(NUMBERS),
        stream=stream,
        resume=None if stream is None else draw(NUMBERS),
    )


REPLIES: st.SearchStrategy[Reply] = st.one_of(
    st.builds(
        Resume,
        NUMBERS,
        st.integers(0, 2**64 - 1),
        st.builds(
            StreamSettings,
            st.integers(0, 9),
            st.sampled_from(ID_BITS),
            st.sampled_from(ID_BITS),
            st.integers(1, ROW_BYTES_MAX),
            st.sampled_from(KNOBS["excess_decimals"]),
        ),
    ),
    st.builds(Ack, NUMBERS, NUMBERS),
    st.builds(Refused, st.integers(1, ROW_NUMBER_MAX), REFUSED_CODES),
    st.builds(Failure, st.sampled_from(ErrorCode), st.text(max_size=999), NUMBERS, NUMBERS),
    summaries(),
)


@given(DIRECTIVES, st.sampled_from([b"", b"\n", b"\r\n"]))
def test_directive_there_and_back(directive: Directive, end: bytes) -> None:
    """A directive is read as it was written, with either line end."""
    line = format_directive(directive)
    assert line.endswith(b"\n")
    assert parse_directive(line.removesuffix(b"\n") + end) == directive


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"#holdfast", "nothing follows"),
        (b"#holdfast   ", "nothing follows"),
        (b"#holdfastly stream=a", "begins with #holdfast and a space"),
        (b"#holdfast stream", "'stream' is not written KEY=VALUE"),
        (b"#holdfast stream=", "'stream=' is not written KEY=VALUE"),
        (b"#holdfast stream=a stream=a", "'stream' is given twice"),
        (b"#holdfast Stream=a", "'Stream' is not a key"),
        (b"#holdfast stream=a,b", "1 to 128 of"),
        (b"#holdfast stream=" + b"a" * 129, "1 to 128 of"),
        (b"#holdfast ack=yes", "ack is rows or none"),
        (b"#holdfast refused=all", "refused is rows or none"),
        (b"#holdfast from=0", "from is the number of a row"),
        (b"#holdfast from=-1", "from is the number of a row"),
        (b"#holdfast from=9223372036854775808", "from is the number of a row"),
        (b"#holdfast from=" + b"9" * 900, "from is the number of a row"),
        (b"#holdfast\tstream=a", "printable ASCII"),
        (b"#holdfast stream=\xc3\xa9", "printable ASCII"),
        (b"#holdfast token=" + b"a" * DIRECTIVE_BYTES_MAX, "at most 1024 bytes"),
    ],
)
def test_bad_directive(line: bytes, said: str) -> None:
    """An invalid directive is an error that says what is wrong."""
    with pytest.raises(WireError, match=r".+") as raised:
        parse_directive(line)
    assert raised.value.code is ErrorCode.BAD_DIRECTIVE
    assert said in raised.value.message


def test_longest_directive() -> None:
    """The limit counts the line without its end."""
    line = b"#holdfast token=".ljust(DIRECTIVE_BYTES_MAX, b"a")
    assert parse_directive(line + b"\r\n").token == "a" * (DIRECTIVE_BYTES_MAX - len("#holdfast token="))


@pytest.mark.parametrize(
    "line", [b"#holdfast token", b"#holdfast toke=n=secret", b"#holdfast token=secret x"]
)
def test_token_is_never_shown(line: bytes) -> None:
    """An error about a directive does not repeat a possible secret."""
    with pytest.raises(WireError) as raised:
        parse_directive(line)
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    "directive",
    [
        Directive(),
        Directive(stream="a b"),
        Directive(token="a b"),  # noqa: S106  # no secret
        Directive(token="ä"),  # noqa: S106  # no secret
    ],
)
def test_directive_that_cannot_be_written(directive: Directive) -> None:
    """A directive that would be read as something else is not written."""
    with pytest.raises(WireError):
        format_directive(directive)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_directive_or_an_error(junk: bytes) -> None:
    """Whatever follows the word, the answer is a directive or the one error."""
    directive, code = None, None
    try:
        directive = parse_directive(b"#holdfast " + junk)
    except WireError as error:
        code = error.code
    if directive is None:
        assert code is ErrorCode.BAD_DIRECTIVE
    else:
        assert parse_directive(format_directive(directive)) == directive


@given(REPLIES)
def test_reply_there_and_back(reply: Reply) -> None:
    """A reply is one line, within its limit, and is read as it was written."""
    line = encode(reply)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line) <= REPLY_LINE_BYTES_MAX
    assert parse_reply(line) == reply


def test_longest_message() -> None:
    """The line of a message keeps to the limit, whatever the message."""
    line = encode(Failure(ErrorCode.INTERNAL, "\U0001f4b8" * 100_000, 2**63, 2**63))
    assert len(line) <= REPLY_LINE_BYTES_MAX
    reply = parse_reply(line)
    assert isinstance(reply, Failure)
    assert reply.message.endswith("\U0001f4b8…")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"\xff",
        b"[1]",
        b"{}",
        b'{"ack": 1}',
        b'{"ack": -1, "sequence": 1}',
        b'{"ack": true, "sequence": 1}',
        b'{"resume": "1"}',
        b'{"refused": {"row": 1, "code": "NO_SUCH_CODE"}}',
        b'{"refused": 1}',
        b'{"error": {"code": "NO_SUCH_CODE", "message": ""}, "rows": 1, "sequence": 1}',
        b'{"error": {"code": "GAP", "message": 1}, "rows": 1, "sequence": 1}',
        b"[" * 100_000,
    ],
)
def test_no_reply(line: bytes) -> None:
    """An invalid reply is an error that shows its beginning."""
    with pytest.raises(ValueError, match="is no reply of this protocol"):
        parse_reply(line)


def test_line_format_is_that_of_json_dumps() -> None:
    """The lines that are formatted without the JSON encoder look like its output."""
    assert encode(Ack(1, 2)) == b'{"ack": 1, "sequence": 2}\n'
    assert encode(Refused(4, Outcome.DUPLICATE_TX)) == b'{"refused": {"row": 4, "code": "DUPLICATE_TX"}}\n'
