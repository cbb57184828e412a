"""Numbers as people and models write them: 1,234.50, $7, -3, 3/4, 1 1/2."""

from __future__ import annotations

import re
from fractions import Fraction

NUMBER = re.compile(
    r"(?:(?<![\w.)])-\s?)?[$€£¥￥]?\s?"
    r"(?:\d{1,40}\s\d{1,9}/\d{1,9}|\d{1,40}/\d{1,40}|(?:\d{1,3}(?:,\d{3}){1,12}(?!\d)|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40})"
)
TOLERANCE = Fraction(1, 1_000_000)
"""Relative; so that a third may be written 0.333333."""


def plain_digits(text: str) -> str:
    """`text` with one sign for each of minus, thousands comma and fraction."""
    text = re.sub(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", text)
    return text.translate(str.maketrans("−，⁄", "-,/"))


def number_of(text: str) -> Fraction | None:
    """The value of the first number in `text`; None for none. Units, currencies and per cent signs are not read."""
    match = NUMBER.search(plain_digits(text))
    if match is None:
        return None
    digits = re.sub(r"[$€£¥￥,]", "", match[0])
    sign = -1 if "-" in digits else 1
    try:
        return sign * sum(map(Fraction, digits.replace("-", "").split()), Fraction())
    except ZeroDivisionError:
        return None


def equal_numbers(left: str, right: str) -> bool:
    """Whether both hold a number, and the first numbers of both are equal, up to rounding in the seventh digit."""
    a, b = number_of(left), number_of(right)
    return a is not None and b is not None and abs(a - b) <= TOLERANCE * max(abs(a), abs(b))
