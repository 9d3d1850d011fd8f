"""What to do about rows that are not applied: a policy answers once per outcome code, and the answers become a table.

A policy costs nothing per row. The kernel looks up one byte for each row that it did not apply, and only a row whose action stops
the work (``ABORT``, ``CALLBACK``, a budget that is used up) ever reaches Python.
"""

from __future__ import annotations

from enum import Enum

from holdfast.domain.outcome import Outcome, Severity
from holdfast.kernel.tally import BUDGET, CONTINUE, STOP, Tally

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NamedTuple

    from holdfast.io.rejects import Rejection
else:
    from holdfast.domain.named_tuples import NamedTuple

PERCENT_BUDGET_FROM_ROWS = 1000
"""A budget in percent is checked from this row on, and at the end of the input however few rows there were: a refused first row
out of a million is no reason to stop."""
_PPM_PER_PERCENT = 10_000
_PPM_MAX = 100 * _PPM_PER_PERCENT
_ROWS_MAX = 10**18 - 1


class PolicyError(ValueError):
    """A policy that cannot be used: what it says is not an action, or an action lacks what it needs."""


class Action(Enum):
    """What a policy does about a row that is not applied."""

    SKIP = "skip"
    """Count it, log it if the logger is enabled, go on."""
    SILENT = "silent"
    """Count it, go on."""
    ABORT = "abort"
    """Stop at this row: the rows before it stay applied, none after it is."""
    BUDGET = "budget"
    """Skip it while the budget lasts; abort at the row that exceeds the budget."""
    CALLBACK = "callback"
    """Ask :meth:`ErrorPolicy.decide`, which sees the row itself."""


class Budget(NamedTuple):
    """How many rows may go unapplied: a number of rows, or a number per million decided rows."""

    rows: int = 0
    ppm: int = 0

    def check(self) -> None:
        """Check that both numbers are in range.

        Raises:
            PolicyError: If one is not.
        """
        for name, value, largest in (("rows", self.rows, _ROWS_MAX), ("ppm", self.ppm, _PPM_MAX)):
            if not isinstance(value, int) or not 0 <= value <= largest:  # type: ignore[redundant-expr]  # callers are not all checked
                raise PolicyError(
                    f"the budget's {name} are a whole number from 0 to {largest}, not {value!r}"
                )

    def __str__(self) -> str:
        """Write it as on the command line."""
        whole, rest = divmod(self.ppm, _PPM_PER_PERCENT)
        return f"{whole}.{rest:04}".rstrip("0").rstrip(".") + "%" if self.ppm else str(self.rows)


class ErrorPolicy:
    """Decides what to do about rows that are not applied. The base class skips them all.

    Override :meth:`severity` to classify outcomes differently, :meth:`action` to answer differently,
    :meth:`decide` to look at rows.
    """

    budget: Budget | None = None
    """What ``Action.BUDGET`` counts against."""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}()"
            if self.budget is None
            else f"{type(self).__name__}(budget={self.budget})"
        )

    def severity(self, outcome: Outcome) -> Severity:
        """Classify an outcome; asked once per code."""
        return outcome.severity

    def action(self, outcome: Outcome, severity: Severity) -> Action:  # noqa: ARG002  # for subclasses
        """Say what to do about rows with this outcome; asked once per code."""
        return Action.SKIP

    def decide(self, rejection: Rejection) -> Action:  # noqa: ARG002  # for subclasses
        """Decide about one row whose action is ``CALLBACK``: ``SKIP``, ``SILENT`` or ``ABORT``."""
        return Action.ABORT


class TablePolicy(ErrorPolicy):
    """Actions by outcome, then by severity, then one default.

    Args:
        default: The action for everything not named.
        by_severity: Actions for whole severities.
        by_outcome: Actions for single outcomes; they take precedence over severities.
        budget: What ``Action.BUDGET`` counts against.
        callback: Decides about rows whose action is ``CALLBACK``.

    Raises:
        PolicyError: If an action needs a budget or a callback that is not given, or something given is of another type.
    """

    def __init__(
        self,
        default: Action = Action.SKIP,
        *,
        by_severity: Mapping[Severity, Action] | None = None,
        by_outcome: Mapping[Outcome, Action] | None = None,
        budget: Budget | None = None,
        callback: Callable[[Rejection], Action] | None = None,
    ) -> None:
        self._default = default
        self._by_severity = dict(by_severity or {})
        self._by_outcome = dict(by_outcome or {})
        self._callback = callback
        self.budget = budget
        for names, kind in ((self._by_severity, Severity), (self._by_outcome, Outcome)):
            for name, action in names.items():
                if not isinstance(name, kind):
                    raise PolicyError(f"actions are given by {kind.__name__}, and {name!r} is none")
                _check_action(action)
        _check_action(default)
        _check_budget(budget)
        used = {default, *self._by_severity.values(), *self._by_outcome.values()}
        if Action.BUDGET in used and budget is None:
            raise PolicyError("a policy with the action budget needs a budget")
        if Action.CALLBACK in used and callback is None:
            raise PolicyError("a policy with the action callback needs a callback")

    def __repr__(self) -> str:
        """Show the policy as :func:`parse_policy` reads it."""
        named = {severity.value: action for severity, action in self._by_severity.items()}
        named.update({outcome.name: action for outcome, action in self._by_outcome.items()})
        items = [
            self._written(self._default),
            *(f"{name}={self._written(action)}" for name, action in named.items()),
        ]
        return f"{type(self).__name__}({','.join(items)!r})"

    def _written(self, action: Action) -> str:
        return f"{action.value}:{self.budget}" if action is Action.BUDGET else action.value

    def action(self, outcome: Outcome, severity: Severity) -> Action:
        """Look the outcome up, then its severity."""
        return self._by_outcome.get(outcome, self._by_severity.get(severity, self._default))

    def decide(self, rejection: Rejection) -> Action:
        """Ask the callback."""
        return self._callback(rejection) if self._callback is not None else Action.ABORT


def _check_action(answer: object) -> None:
    if not isinstance(answer, Action):
        raise PolicyError(f"{answer!r} is no action: it is one of {', '.join(map(str, Action))}")


def _check_budget(budget: object) -> None:
    if isinstance(budget, Budget):
        budget.check()
    elif budget is not None:
        raise PolicyError(f"a budget is a Budget, such as Budget(rows=100), not {budget!r}")


class CompiledPolicy:
    """A policy's answers as tables.

    Args:
        policy: The policy; it is asked here, once for every outcome.

    Raises:
        PolicyError: If an answer is no action, or is BUDGET without a budget that can be used.
    """

    def __init__(self, policy: ErrorPolicy) -> None:
        self.policy = policy
        self.actions = {
            outcome: policy.action(outcome, policy.severity(outcome))
            for outcome in Outcome
            if not outcome.is_applied
        }
        for action in self.actions.values():
            _check_action(action)
        _check_budget(policy.budget)
        if policy.budget is None and Action.BUDGET in self.actions.values():
            raise PolicyError(f"{type(policy).__name__} answers {Action.BUDGET} and has no budget")
        codes = {Action.ABORT: STOP, Action.CALLBACK: STOP, Action.BUDGET: BUDGET}
        table = bytearray(256)
        for outcome, action in self.actions.items():
            table[outcome] = codes.get(action, CONTINUE)
        self._table = bytes(table)

    @property
    def shows_rows(self) -> bool:
        """Whether rows themselves will be needed: those at which the policy stops."""
        return any(self._table)

    def stops_at(self, code: int, *, exceeds_budget: bool) -> bool:
        """Whether the policy stops at a row with this outcome, or asks; a budget counts if it is exceeded."""
        action = self.actions[Outcome(code)]
        return action in {Action.ABORT, Action.CALLBACK} or (action is Action.BUDGET and exceeds_budget)

    def tally(self) -> Tally:
        """Start counting a stream's rows under this policy."""
        budget = self.policy.budget
        if budget is None:
            return Tally(self._table)
        from_rows = PERCENT_BUDGET_FROM_ROWS if budget.ppm else 0
        return Tally(self._table, budget_rows=budget.rows, budget_ppm=budget.ppm, budget_from_rows=from_rows)


def parse_policy(text: str) -> ErrorPolicy:
    """Read a policy in the command line's notation.

    ``skip``, ``silent``, ``abort``, ``budget:100`` and ``budget:0.5%`` apply to all rows that are not applied;
    ``skip,malformed=abort,DUPLICATE_TX=silent`` sets actions for severities and for single codes.

    Raises:
        PolicyError: If the text is not in this notation; the message says what can be written.
    """
    default = Action.SKIP
    by_severity: dict[Severity, Action] = {}
    by_outcome: dict[Outcome, Action] = {}
    budgets: set[Budget] = set()
    for item in text.split(","):
        subject, _, answer = item.rpartition("=")
        action, budget = _parse_action(answer.strip())
        if budget is not None:
            budgets.add(budget)
        target = _parse_subject(subject.strip())
        if target is None:
            default = action
        elif isinstance(target, Severity):
            by_severity[target] = action
        else:
            by_outcome[target] = action
    if len(budgets) > 1:
        raise PolicyError(f"{text!r} names several budgets; there is one for all rows that count against it")
    return TablePolicy(
        default, by_severity=by_severity, by_outcome=by_outcome, budget=next(iter(budgets), None)
    )


def _parse_subject(name: str) -> Severity | Outcome | None:
    if not name:
        return None
    if name.upper() in Outcome.__members__ and name.upper() != Outcome.APPLIED.name:
        return Outcome[name.upper()]
    severities = [severity for severity in Severity if severity not in {Severity.NONE, Severity.FATAL}]
    for severity in severities:
        if severity.value == name.lower():
            return severity
    known = ", ".join(severity.value for severity in severities)
    raise PolicyError(f"{name!r} is neither a severity ({known}) nor an outcome code")


def _parse_action(text: str) -> tuple[Action, Budget | None]:
    name, colon, amount = text.partition(":")
    if name == Action.BUDGET.value and colon:
        return Action.BUDGET, _parse_budget(amount)
    if not colon and name in {Action.SKIP.value, Action.SILENT.value, Action.ABORT.value}:
        return Action(name), None
    raise PolicyError(f"{text!r} is no action: write skip, silent, abort, budget:ROWS or budget:PERCENT%")


def _parse_budget(text: str) -> Budget:
    number = text.removesuffix("%")
    whole, _, rest = number.partition(".")
    if not (whole + rest).isascii() or not whole.isdigit() or (rest and not rest.isdigit()):
        raise PolicyError(
            f"budget:{text}: write a number of rows or a percentage, as in budget:100 or budget:0.5%"
        )
    if not text.endswith("%"):
        if rest or len(whole) > len(str(_ROWS_MAX)):
            raise PolicyError(f"budget:{text}: a number of rows is a whole number up to {_ROWS_MAX}")
        return Budget(rows=int(whole))
    ppm = int((whole + rest.ljust(4, "0"))[:18])
    if len(rest) > 4 or len(whole) > 3 or ppm > _PPM_MAX:
        raise PolicyError(f"budget:{text}: a percentage is 0 to 100, with at most four decimals")
    return Budget(ppm=ppm)
