from typing import final

@final
class LedgerLock: ...
