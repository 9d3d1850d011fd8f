"""Holdfast: an exact, fast, embeddable payments engine.

The names below are imported when they are first used, so that ``import holdfast`` costs next to nothing.
"""

from holdfast._lazy import lazy_names as _lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.domain.account import Account
    from holdfast.domain.amount import AmountError, units_from
    from holdfast.domain.dialect import Dialect, DialectError
    from holdfast.domain.origin import Origin, SourcePosition
    from holdfast.domain.outcome import Outcome, Severity
    from holdfast.domain.rules import Rules, RulesError, find_rules, make_rules
    from holdfast.domain.settings import Settings, make_settings
    from holdfast.domain.transaction import (
        Chargeback,
        Deposit,
        Dispute,
        Resolve,
        Transaction,
        TransactionType,
        Withdrawal,
    )
    from holdfast.engine.accounts import Accounts
    from holdfast.engine.engine import Engine
    from holdfast.engine.message_run import MessageChangedError, SourceMessages
    from holdfast.engine.policy import Action, Budget, ErrorPolicy, PolicyError, TablePolicy, parse_policy
    from holdfast.engine.report import Report
    from holdfast.engine.run import PolicyAbort
    from holdfast.engine.streams import StreamChangedError
    from holdfast.io.input_types import Input
    from holdfast.io.raw import InputError
    from holdfast.io.reject_table import RejectTable
    from holdfast.io.rejects import Rejection, RejectWriter
    from holdfast.kernel.batch import Batch
    from holdfast.storage.failures import (
        KeyReusedError,
        LedgerError,
        LedgerFullError,
        ProcessForkedError,
        ReadOnlyError,
    )
    from holdfast.storage.ledger import Ledger
    from holdfast.storage.ports import StoreError

__version__ = "0.1.0"

_HOMES = {
    "Account": "domain.account",
    "Accounts": "engine.accounts",
    "Action": "engine.policy",
    "AmountError": "domain.amount",
    "Batch": "kernel.batch",
    "Budget": "engine.policy",
    "Chargeback": "domain.transaction",
    "Deposit": "domain.transaction",
    "Dialect": "domain.dialect",
    "DialectError": "domain.dialect",
    "Dispute": "domain.transaction",
    "Engine": "engine.engine",
    "ErrorPolicy": "engine.policy",
    "Input": "io.input_types",
    "InputError": "io.raw",
    "KeyReusedError": "storage.failures",
    "Ledger": "storage.ledger",
    "LedgerError": "storage.failures",
    "LedgerFullError": "storage.failures",
    "MessageChangedError": "engine.message_run",
    "Origin": "domain.origin",
    "Outcome": "domain.outcome",
    "PolicyAbort": "engine.run",
    "PolicyError": "engine.policy",
    "ProcessForkedError": "storage.failures",
    "ReadOnlyError": "storage.failures",
    "RejectTable": "io.reject_table",
    "RejectWriter": "io.rejects",
    "Rejection": "io.rejects",
    "Report": "engine.report",
    "Resolve": "domain.transaction",
    "Rules": "domain.rules",
    "RulesError": "domain.rules",
    "Settings": "domain.settings",
    "Severity": "domain.outcome",
    "SourceMessages": "engine.message_run",
    "SourcePosition": "domain.origin",
    "StoreError": "storage.ports",
    "StreamChangedError": "engine.streams",
    "TablePolicy": "engine.policy",
    "Transaction": "domain.transaction",
    "TransactionType": "domain.transaction",
    "Withdrawal": "domain.transaction",
    "find_rules": "domain.rules",
    "make_rules": "domain.rules",
    "make_settings": "domain.settings",
    "parse_policy": "engine.policy",
    "units_from": "domain.amount",
}

__all__ = [
    "Account",
    "Accounts",
    "Action",
    "AmountError",
    "Batch",
    "Budget",
    "Chargeback",
    "Deposit",
    "Dialect",
    "DialectError",
    "Dispute",
    "Engine",
    "ErrorPolicy",
    "Input",
    "InputError",
    "KeyReusedError",
    "Ledger",
    "LedgerError",
    "LedgerFullError",
    "MessageChangedError",
    "Origin",
    "Outcome",
    "PolicyAbort",
    "PolicyError",
    "ProcessForkedError",
    "ReadOnlyError",
    "RejectTable",
    "RejectWriter",
    "Rejection",
    "Report",
    "Resolve",
    "Rules",
    "RulesError",
    "Settings",
    "Severity",
    "SourceMessages",
    "SourcePosition",
    "StoreError",
    "StreamChangedError",
    "TablePolicy",
    "Transaction",
    "TransactionType",
    "Withdrawal",
    "find_rules",
    "make_rules",
    "make_settings",
    "parse_policy",
    "units_from",
]

__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
