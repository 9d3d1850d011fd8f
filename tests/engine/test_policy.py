"""Policies: how they are written, what they are asked, and where they stop."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast import (
    Action,
    Budget,
    Engine,
    ErrorPolicy,
    Outcome,
    PolicyAbort,
    PolicyError,
    Rejection,
    Report,
    Severity,
    TablePolicy,
    parse_policy,
)
from holdfast.engine import pipeline
from holdfast.engine.policy import PERCENT_BUDGET_FROM_ROWS

HEADER = b"type,client,tx,amount\n"
BAD = b"nonsense\n"
REFUSED = [outcome for outcome in Outcome if outcome is not Outcome.APPLIED]


def deposits(start: int, stop: int) -> bytes:
    """Write deposits of one unit, tx ids from ``start`` to before ``stop``, that are applied."""
    return b"".join(b"deposit,1,%d,0.0001\n" % tx for tx in range(start, stop))


def actions(policy: ErrorPolicy) -> dict[Outcome, Action]:
    """Ask a policy about every outcome."""
    return {outcome: policy.action(outcome, policy.severity(outcome)) for outcome in REFUSED}


def abort_of(engine: Engine, policy: ErrorPolicy, *data: bytes) -> PolicyAbort:
    """Process inputs that the policy has to stop; give its reason."""
    with pytest.raises(PolicyAbort) as caught:
        engine.process(*data, policy=policy)
    return caught.value


def rejection_of(abort: PolicyAbort) -> Rejection:
    """Give the row at which the policy stopped."""
    assert abort.rejection is not None
    return abort.rejection


def report_of(abort: PolicyAbort) -> Report:
    """Give the report up to then, after checking that it is consistent."""
    report = abort.report
    assert report.rows == report.applied + sum(report.refused_by_outcome.values())
    return report


# --- how they are written ---


@pytest.mark.parametrize(
    ("text", "action", "budget"),
    [
        ("skip", Action.SKIP, None),
        ("silent", Action.SILENT, None),
        ("abort", Action.ABORT, None),
        ("budget:0", Action.BUDGET, Budget(rows=0)),
        ("budget:100", Action.BUDGET, Budget(rows=100)),
        ("budget:999999999999999999", Action.BUDGET, Budget(rows=10**18 - 1)),
        ("budget:0.5%", Action.BUDGET, Budget(ppm=5_000)),
        ("budget:.5%", None, None),
        ("budget:5%", Action.BUDGET, Budget(ppm=50_000)),
        ("budget:0.0001%", Action.BUDGET, Budget(ppm=1)),
        ("budget:100%", Action.BUDGET, Budget(ppm=1_000_000)),
        (" abort ", Action.ABORT, None),
    ],
)
def test_one_action_for_all(text: str, action: Action | None, budget: Budget | None) -> None:
    """The simple forms apply to every outcome; a percentage is exact."""
    if action is None:
        with pytest.raises(PolicyError):
            parse_policy(text)
        return
    policy = parse_policy(text)
    assert set(actions(policy).values()) == {action}
    assert policy.budget == budget


def test_actions_by_severity_and_code() -> None:
    """A code takes precedence over its severity, a severity over the default; names may be in any case."""
    policy = parse_policy("silent, Malformed=abort, DUPLICATE_TX=skip,tx_not_found=budget:3 , partner=abort")
    expected = dict.fromkeys(REFUSED, Action.SILENT)
    for outcome in REFUSED:
        if outcome.severity in {Severity.MALFORMED, Severity.PARTNER}:
            expected[outcome] = Action.ABORT
    expected[Outcome.DUPLICATE_TX] = Action.SKIP
    expected[Outcome.TX_NOT_FOUND] = Action.BUDGET
    assert actions(policy) == expected
    assert policy.budget == Budget(rows=3)


def test_the_default_is_skip() -> None:
    """Outcomes that a policy does not name are skipped."""
    assert Counter(actions(parse_policy("malformed=abort")).values()) == {
        Action.ABORT: sum(outcome.severity is Severity.MALFORMED for outcome in REFUSED),
        Action.SKIP: sum(outcome.severity is not Severity.MALFORMED for outcome in REFUSED),
    }
    assert set(actions(ErrorPolicy()).values()) == {Action.SKIP}


def test_one_budget_may_be_named_for_several() -> None:
    """The same budget twice is one budget for both."""
    assert parse_policy("malformed=budget:2,partner=budget:2").budget == Budget(rows=2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no action"),
        ("explode", "'explode' is no action: write skip, silent, abort"),
        ("SKIP,", "is no action"),
        ("skip:3", "'skip:3' is no action"),
        ("callback", "'callback' is no action"),
        ("budget", "'budget' is no action"),
        ("budget:", "write a number of rows or a percentage"),
        ("budget:-1", "write a number of rows or a percentage"),
        ("budget:x", "write a number"),
        ("budget:\u0663", "write a number"),
        ("budget:%", "write a number"),
        ("budget:1.5", "a whole number"),
        ("budget:1000000000000000000", "a whole number"),
        ("budget:101%", "0 to 100"),
        ("budget:100.5%", "0 to 100"),
        ("budget:1000%", "0 to 100"),
        ("budget:0.00001%", "four decimals"),
        ("budget:1.x%", "write a number"),
        ("budget:1,budget:2", "several budgets"),
        ("malformed=budget:1,partner=budget:1%", "several budgets"),
        ("fatal=skip", "'fatal' is neither a severity (malformed, refused, partner, duplicate)"),
        ("none=abort", "'none' is neither"),
        ("APPLIED=abort", "'APPLIED' is neither"),
        ("tx not found=abort", "neither a severity"),
        ("malformed=", "is no action"),
    ],
)
def test_what_is_written_wrongly_is_an_error_that_says_so(text: str, message: str) -> None:
    """The message shows the wrong text and what can be written instead."""
    with pytest.raises(PolicyError, match=r"^[^\n]+$") as error:
        parse_policy(text)
    assert message in str(error.value)


def test_a_policy_has_what_its_actions_need() -> None:
    """BUDGET without a budget and CALLBACK without a callback are errors at once, in subclasses at the first use."""
    with pytest.raises(PolicyError, match="budget"):
        TablePolicy(Action.BUDGET)
    with pytest.raises(PolicyError, match="callback"):
        TablePolicy(by_outcome={Outcome.DUPLICATE_TX: Action.CALLBACK})

    class Unfunded(ErrorPolicy):
        def action(self, outcome: Outcome, severity: Severity) -> Action:
            del outcome, severity
            return Action.BUDGET

    engine = Engine()
    with pytest.raises(PolicyError, match="Unfunded"):
        engine.process(HEADER + BAD, policy=Unfunded())
    assert engine.decided == 0


@pytest.mark.parametrize("text", ["0", "7", "0.5%", "100%", "12.3456%"])
def test_a_budget_is_shown_as_it_was_written(text: str) -> None:
    """Messages write the budget as the command line does."""
    assert str(parse_policy(f"budget:{text}").budget) == text


# --- what they are asked ---


def test_a_policy_is_asked_once_for_each_code() -> None:
    """Severity and action are asked once for every code of a run, however many rows there are, never for APPLIED."""
    asked: Counter[tuple[str, Outcome]] = Counter()

    class Counting(ErrorPolicy):
        def severity(self, outcome: Outcome) -> Severity:
            asked["severity", outcome] += 1
            return super().severity(outcome)

        def action(self, outcome: Outcome, severity: Severity) -> Action:
            assert severity is outcome.severity
            asked["action", outcome] += 1
            return Action.SKIP

    report = Engine().process(HEADER + BAD * 5000 + deposits(0, 10), policy=Counting())
    assert report.refused == 5000
    assert asked == Counter(
        {(question, outcome): 1 for question in ("severity", "action") for outcome in REFUSED}
    )


def test_a_subclass_may_classify_differently() -> None:
    """An outcome that a policy classifies as malformed is treated as malformed; the outcome itself does not change."""

    class Strict(TablePolicy):
        def severity(self, outcome: Outcome) -> Severity:
            return Severity.MALFORMED if outcome is Outcome.DUPLICATE_TX else Severity.REFUSED

    policy = Strict(by_severity={Severity.MALFORMED: Action.ABORT})
    data = HEADER + BAD + deposits(1, 3) + deposits(2, 3) + deposits(3, 4)
    abort = abort_of(Engine(), policy, data)
    assert rejection_of(abort).outcome is Outcome.DUPLICATE_TX
    assert report_of(abort).refused_by_outcome == {Outcome.MALFORMED_ROW: 1, Outcome.DUPLICATE_TX: 1}


# --- where they stop ---


@pytest.fixture(params=[512 * 1024, 100], ids=["one block", "many blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in one go, or in small blocks on other threads."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("batch_rows", [1, 3, 8192])
@pytest.mark.parametrize("position", [0, 1, 2, 3, 40])
def test_abort_stops_exactly_at_the_row(position: int, batch_rows: int) -> None:
    """The rows before it stand; that row, the rows after it and further inputs are not applied."""
    engine = Engine(batch_rows=batch_rows)
    data = HEADER + deposits(0, position) + b"withdrawal,1,999,5\n" + deposits(1000, 1100)
    abort = abort_of(engine, parse_policy("abort"), data, HEADER + deposits(2000, 2010))
    assert engine.decided == position + 1
    assert [account.available_units for account in engine.accounts()] == [position]
    row = b"withdrawal,1,999,5"
    offset = data.index(row)
    assert abort.rejection == Rejection("<bytes>", position + 2, offset, Outcome.INSUFFICIENT_FUNDS, row)
    report = report_of(abort)
    assert (report.rows, report.applied) == (position + 1, position)
    for said in ("<bytes>", f"line {position + 2}", "INSUFFICIENT_FUNDS", "withdrawal,1,999,5"):
        assert said in str(abort)


def test_abort_applies_to_its_codes_only() -> None:
    """Rows of other severities before the one that stops are skipped."""
    engine = Engine()
    data = HEADER + BAD * 3 + deposits(1, 3) + deposits(1, 2) + b"dispute,1,77\n" + deposits(3, 9)
    abort = abort_of(engine, parse_policy("skip,partner=abort"), data)
    assert rejection_of(abort).outcome is Outcome.TX_NOT_FOUND
    assert report_of(abort).rows == 7
    assert engine.account(1).available_units == 2


def test_an_abort_in_a_later_input_names_that_input() -> None:
    """Lines and offsets are those in the row's own input."""
    abort = abort_of(Engine(), parse_policy("abort"), HEADER + deposits(0, 5), b"\n" + HEADER + b"\n" + BAD)
    assert (rejection_of(abort).line, rejection_of(abort).offset) == (4, len(HEADER) + 2)


def test_a_malformed_row_stops_as_well() -> None:
    """Abort stops at rows of every phase, and shows the row byte for byte."""
    abort = abort_of(Engine(), parse_policy("abort"), HEADER + b'deposit,1,"1\xff,5\r\n')
    assert rejection_of(abort).raw == b'deposit,1,"1\xff,5'
    assert "\\\\xff" in str(abort)
    assert "\n" not in str(abort)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("budget", [0, 1, 7])
def test_a_budget_of_rows_lasts_exactly_so_long(budget: int) -> None:
    """The budget's rows may go unapplied; the next one stops, and nothing after it is applied."""
    engine = Engine(batch_rows=4)
    policy = parse_policy(f"budget:{budget}")
    lines = b"".join(BAD + deposits(tx, tx + 1) for tx in range(budget))
    assert engine.process(HEADER + lines, policy=policy).refused == budget
    engine = Engine(batch_rows=4)
    abort = abort_of(engine, policy, HEADER + lines + b"last\n" + deposits(100, 200))
    assert rejection_of(abort).raw == b"last"
    assert report_of(abort).refused == budget + 1
    assert f"budget of {budget} " in str(abort)
    assert engine.decided == 2 * budget + 1


def test_a_budget_covers_all_inputs_of_a_run_and_starts_anew_with_the_next() -> None:
    """The budget is the run's, not the input's and not the engine's."""
    engine, policy = Engine(), parse_policy("budget:2")
    inputs = [HEADER + BAD] * 3
    assert report_of(abort_of(engine, policy, *inputs)).refused == 3
    assert engine.process(*inputs[:2], policy=policy).refused == 2


def test_only_rows_with_the_action_use_the_budget_up() -> None:
    """Skipped rows of other codes do not count against it."""
    policy = parse_policy("skip,malformed=budget:1")
    data = HEADER + b"dispute,1,9\n" * 10 + BAD + b"dispute,1,9\n" * 10
    assert Engine().process(data, policy=policy).refused == 21
    assert report_of(abort_of(Engine(), policy, data + BAD)).refused == 22


def test_a_percentage_is_looked_at_from_a_thousand_rows_on() -> None:
    """A bad start within the first thousand rows is fine; from then on the row that exceeds the share stops."""
    policy = parse_policy("budget:1%")
    many = PERCENT_BUDGET_FROM_ROWS
    assert many == 1000
    fine = HEADER + BAD * 10 + deposits(0, many - 10)
    assert Engine().process(fine, policy=policy).refused == 10
    late = HEADER + BAD * 11 + deposits(0, many - 11 + 100)
    assert Engine().process(late, policy=policy).refused == 11
    abort = abort_of(Engine(), policy, fine + b"one more\n" + deposits(5000, 9000))
    assert rejection_of(abort).raw == b"one more"
    assert report_of(abort).rows == many + 1


def test_a_percentage_is_looked_at_again_at_the_end() -> None:
    """At the end too many unapplied rows are an abort without a row, however few rows there were."""
    engine = Engine()
    abort = abort_of(engine, parse_policy("budget:10%"), HEADER + BAD * 2 + deposits(0, 10))
    assert abort.rejection is None
    assert "2 of 12 rows" in str(abort)
    assert "10%" in str(abort)
    assert report_of(abort).rows == engine.decided == 12
    assert (
        Engine().process(HEADER + BAD * 2 + deposits(0, 18), policy=parse_policy("budget:10%")).refused == 2
    )


# --- callbacks ---


def test_a_callback_sees_each_row_and_answers_for_it() -> None:
    """SKIP and SILENT go on, ABORT stops exactly there; the callback gets no rows of other codes."""
    seen: list[Rejection] = []

    def decide(rejection: Rejection) -> Action:
        seen.append(rejection)
        return {b"a": Action.SKIP, b"b": Action.SILENT}.get(rejection.raw, Action.ABORT)

    policy = TablePolicy(by_severity={Severity.MALFORMED: Action.CALLBACK}, callback=decide)
    engine = Engine(batch_rows=2)
    data = HEADER + b"a\n" + deposits(0, 2) + b"dispute,1,9\nb\na\nc\n" + deposits(2, 9)
    abort = abort_of(engine, policy, data)
    assert [(rejection.line, rejection.raw) for rejection in seen] == [
        (2, b"a"),
        (6, b"b"),
        (7, b"a"),
        (8, b"c"),
    ]
    assert all(
        rejection.offset == data.index(b"\n" + rejection.raw + b"\n", rejection.offset - 1) + 1
        for rejection in seen
    )
    assert rejection_of(abort) == seen[-1]
    assert "callback" in str(abort)
    assert engine.decided == 7
    assert engine.account(1).available_units == 2


def test_a_callback_that_always_skips_decides_every_row() -> None:
    """All rows are decided, and the callback is asked once about each unapplied row."""
    count = 0

    def decide(_: Rejection) -> Action:
        nonlocal count
        count += 1
        return Action.SKIP

    policy = TablePolicy(Action.CALLBACK, callback=decide)
    report = Engine(batch_rows=7).process(HEADER + (BAD + deposits(1, 2)) * 50, policy=policy)
    assert (report.rows, report.applied, count) == (100, 1, 99)


def test_what_a_callback_raises_ends_the_run() -> None:
    """An exception of the callback reaches the caller; the rows before stand."""

    class OwnError(Exception):
        pass

    def decide(_: Rejection) -> Action:
        raise OwnError

    engine = Engine()
    with pytest.raises(OwnError):
        engine.process(
            HEADER + deposits(0, 3) + BAD + deposits(3, 9),
            policy=TablePolicy(Action.CALLBACK, callback=decide),
        )
    assert engine.account(1).available_units == 3


def test_a_callback_may_use_the_engine() -> None:
    """The callback is called between rows, so it may look at accounts without waiting for itself."""
    engine = Engine()
    balances: list[int] = []

    def decide(_: Rejection) -> Action:
        balances.append(engine.account(1).available_units)
        return Action.SKIP

    data = HEADER + (deposits(0, 2) + BAD + deposits(2, 4) + BAD)
    engine.process(data, policy=TablePolicy(Action.CALLBACK, callback=decide))
    assert balances == [2, 4]


class Answers(ErrorPolicy):
    """A policy whose answer is the same thing every time, an action or not."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def action(self, outcome: Outcome, severity: Severity) -> Action:  # noqa: ARG002  # as the base class has them
        """Answer."""
        return self._answer  # type: ignore[return-value]  # on purpose


@pytest.mark.parametrize("answer", ["abort", None, 1, Severity.MALFORMED])
def test_an_answer_that_is_no_action_is_an_error(answer: object) -> None:
    """A policy that answers something else does not pass for one that skips."""
    with pytest.raises(PolicyError, match="is no action"):
        Engine().process(HEADER + BAD, policy=Answers(answer))
    with pytest.raises(PolicyError, match="is no action"):
        TablePolicy(answer)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(PolicyError, match="is no action"):
        TablePolicy(by_outcome={Outcome.MALFORMED_ROW: answer})  # type: ignore[dict-item]  # on purpose


def test_actions_are_given_by_members() -> None:
    """A name in a member's place would never match."""
    with pytest.raises(PolicyError, match="Severity"):
        TablePolicy(by_severity={"malformed": Action.ABORT})  # type: ignore[dict-item]  # on purpose
    with pytest.raises(PolicyError, match="Outcome"):
        TablePolicy(by_outcome={"INVALID_AMOUNT": Action.ABORT})  # type: ignore[dict-item]  # on purpose


@pytest.mark.parametrize(
    "budget",
    [3, "3", Budget(rows=-1), Budget(rows=10**18), Budget(ppm=1_000_001), Budget(rows=1.5)],  # type: ignore[arg-type]  # on purpose
)
def test_budgets_out_of_range_are_errors(budget: object) -> None:
    """What is no budget is refused where it is given."""
    with pytest.raises(PolicyError, match="budget"):
        TablePolicy(Action.BUDGET, budget=budget)  # type: ignore[arg-type]  # on purpose
    policy = Answers(Action.BUDGET)
    policy.budget = budget  # type: ignore[assignment]  # on purpose
    with pytest.raises(PolicyError, match="budget"):
        Engine().process(HEADER + BAD, policy=policy)
