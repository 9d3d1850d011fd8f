"""Ledgers as an upgrade finds them that changed outcomes: what they say was decided by other rules than they have now."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING

from holdfast.domain.settings_text import decode_settings, encode_settings
from holdfast.storage.checkpoint_record import decode_checkpoint, encode_checkpoint
from holdfast.storage.ports import PAGE_ACCOUNTS, PAGE_CHANGES, PAGE_RUN, Commit

if TYPE_CHECKING:
    from holdfast.domain.rules import Rules
    from holdfast.storage.ports import Store


def upgrade(source: Store, target: Store, rules: Rules) -> None:
    """Copy a ledger, entries and checkpoints, as if the rules under which it was made now meant these."""
    with closing(source.reader()) as reader:
        meta = {key: value for key in ("settings", "ledger") if (value := reader.meta(key)) is not None}
        settings = decode_settings(meta["settings"])._replace(rules=rules)
        target.create({**meta, "settings": encode_settings(settings)})
        entries = list(reader.entries(0))
        texts = [text for each in entries if (text := reader.raw_text(each.sequence)) is not None]
        target.commit(Commit(entries=entries, raw_texts=texts))
        for record in reversed(reader.checkpoints()):
            state = decode_checkpoint(record.data)
            state = dataclasses.replace(state, settings=state.settings._replace(rules=rules))
            pages = [
                page
                for kind in (PAGE_ACCOUNTS, PAGE_RUN, PAGE_CHANGES)
                for page in reader.pages(kind, record.number)
            ]
            published = record._replace(data=encode_checkpoint(state))
            target.commit(Commit(checkpoint=record.number, pages=pages, publish=published))
