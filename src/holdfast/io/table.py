"""What every table that goes out can do: any library that reads Arrow takes it, and the usual ones by name."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Table:
    """A table that speaks the Arrow PyCapsule interface; whoever inherits from it gives ``__arrow_c_stream__``."""

    __slots__ = ()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give an Arrow stream of the table, in a PyCapsule; each call gives a new one, from the first row on."""
        raise NotImplementedError

    def to_polars(self) -> pl.DataFrame:
        """Give a frame of Polars.

        Raises:
            ImportError: If Polars is not installed.
        """
        return _load("polars", "to_polars").DataFrame(self)

    def to_pandas(self) -> pd.DataFrame:
        """Give a frame of pandas; amounts are exact, as decimals of Arrow.

        Raises:
            ImportError: If pandas 3 or pyarrow is not installed.
        """
        pandas = _load("pandas", "to_pandas")
        arrow = _load("pyarrow", "to_pandas")
        # Without Arrow's own types, decimals would become objects.
        return arrow.table(self).to_pandas(types_mapper=pandas.ArrowDtype)

    def to_arrow(self) -> pa.Table:
        """Give a table of pyarrow.

        Raises:
            ImportError: If pyarrow is not installed.
        """
        return _load("pyarrow", "to_arrow").table(self)


def _load(module: str, method: str) -> ModuleType:
    from importlib import import_module  # noqa: PLC0415  # only who wants a frame pays for it

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ImportError(
            f"{method}() needs {module}, which is not installed: pip install {module}", name=module
        ) from error
