from holdfast.domain.dialect import Dialect
from holdfast.kernel.csv.decoder import CsvDecoder

__all__ = ["in_dialect"]

def in_dialect(decoder: CsvDecoder, dialect: Dialect) -> CsvDecoder: ...
