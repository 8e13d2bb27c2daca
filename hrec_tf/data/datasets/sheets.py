"""Sheets of Excel workbooks as lines of text; they need the extra `excel`."""

import importlib
import io
from typing import IO

import polars as pl


def as_lines(file: IO[bytes]) -> io.BytesIO:
    """Returns the first sheet of a workbook as UTF-8 text, a line per row, tabs between cells.

    Line n is row n of a sheet that begins in its first row; empty rows are lines of tabs. Numbers
    are as short as they can be (17850, 2.55), times like 2010-12-01 08:26:00, and tabs and line
    breaks inside a cell are spaces.

    Args:
        file: the workbook (.xlsx), which is read whole.

    Raises:
        ImportError: the extra `excel` is not installed.
        ValueError: the file is no workbook, or a damaged one.
    """
    try:
        fastexcel = importlib.import_module("fastexcel")
    except ImportError as error:
        raise ImportError(
            f"fastexcel could not be imported ({error}). Workbooks (.xlsx) are read by it, and "
            "hrec_tf does not install it by default. Run: pip install 'hrec-tf[excel]'"
        ) from error
    try:
        sheet = pl.read_excel(
            file.read(),
            infer_schema_length=0,  # all cells as text
            drop_empty_rows=False,
            drop_empty_cols=False,
            raise_if_empty=False,
        )
    except fastexcel.FastExcelError as error:
        raise ValueError(f"it is no whole workbook: {str(error).splitlines()[0]}") from error
    lines = io.BytesIO()
    sheet.select(pl.all().str.replace_all(r"[\t\r\n]", " ")).write_csv(
        lines, separator="\t", quote_style="never"
    )
    lines.seek(0)
    return lines
