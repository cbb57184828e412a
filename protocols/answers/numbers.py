"""Reads numbers as people and models write them: 1,234.50, 18 000, $7, -3, 3/4, 1 1/2, 1.8e4, 1.8 × 10^-3, 2^10."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from protocols.text import LETTER

_MOST = 400
"""Most digits of a number; Python refuses to convert more than a few thousand."""
_GROUPED = r"\d{1,3}(?:,\d{3}){1,40}|\d{1,2}(?:,\d{2}){1,20},\d{3}"
_DECIMAL = (
    rf"(?:(?:{_GROUPED})(?:\.\d{{1,{_MOST}}})?"  # 18,000.5, and 12,34,567 as in India
    rf"|\d{{1,3}}(?:\.\d{{3}}){{2,40}}(?:,\d{{1,{_MOST}}})?|\d{{1,3}}(?:\.\d{{3}})+,\d{{1,{_MOST}}}"  # 1.234.567,8
    rf"|\d{{1,{_MOST}}},(?!\d{{3}}(?!\d))\d{{1,{_MOST}}}"  # 3,5: a decimal comma; three digits would be thousands
    rf"|\d{{1,{_MOST}}}(?:\.\d{{1,{_MOST}}})?|\.\d{{1,{_MOST}}})"
)
_EXPONENT = r"(?:[eE][+-]?\d{1,3}(?!\d)|\s?\*\s?10\^[+-]?\d{1,3}(?!\d))"
_SCALES = {
    "hundred": 2, "thousand": 3, "k": 3, "million": 6, "mn": 6, "m": 6, "billion": 9, "bn": 9, "b": 9,
    "trillion": 12, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8,
}  # fmt: skip
_SCALE = (
    rf"(?:\s?(?P<word>(?i:hundred|thousand|million|billion|trillion)(?!{LETTER})|[千万萬亿億]+)"
    rf"|(?P<unit>[kKMB]|[mb]n)(?!{LETTER}|\^))"
)
_CURRENCY = rf"(?<!{LETTER})(?:(?:US|CA|AU|R|HK)?[$€£¥￥₹]|(?i:USD|EUR|GBP|CNY|RMB|INR|Rs\.?))\s?"
_MINUS = r"(?<![\w.,/)\]}^])[-+]"
_SIGN = rf"(?:{_MINUS}\s?)?(?:{_CURRENCY})?(?:{_MINUS})?"
NUMBER = re.compile(
    rf"{_SIGN}(?<!{LETTER})(?<![\^_])(?<!\d[.,:/'’-])(?<![A-Za-z][_-])(?<![√±])(?<![/,][-+])"
    rf"(?:\d{{1,40}}\s\d{{1,9}}/\d{{1,9}}|\d{{1,40}}/\d{{1,40}}|\d{{1,9}}\^-?\d{{1,3}}|{_DECIMAL}{_EXPONENT}?)"
    rf"(?![\d^/:]\d?|[.,'’]\d|[xX][\da-fA-F]|\s?-\d|[eE][+-]?\d|\s?\*\s?10\^|\s?(?:[*·⋅×]|\\cdot|\\times)?\s?(?:√|π|\\pi)|\s+and\s+(?:a|one)\s){_SCALE}?"
)
"""Matches in the output of `plain_digits` a whole number or nothing: not the year of a date, the hour of a time, the
first number of a range, or the digits of a name."""
TOLERANCE = Fraction(1, 1_000_000)
"""Relative tolerance, so that a third may be written as 0.333333."""
_SPACES = "\u00a0\u2007\u2008\u2009\u200a\u202f\u2005\u2006"
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_TERM = r"(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}|\([^()]*\)|\s*[\d.]+|\s*\\?[a-z]+)"
_NO_NUMBER = re.compile(
    rf"\\[cdt]?frac\s*{_TERM}\s*{_TERM}"  # fractions of digits are already replaced
    rf"|\\?sqrt\s*(?:\[[^\]]*\])?\s*{_TERM}|√\s*{_TERM}|\\?\b(?:log|ln|lg|sin|cos|tan|exp)(?:_\w)?\s*{_TERM}"
)
_NEGATIVE = re.compile(
    r"(?:(?:^|[:=({\[$])\s*|\b(?:is|are|be|equals?|of|to|or|and|between|from|about|approximately|roughly)\s+)"
    r"(?P<word>(?:minus|negative)\s+)(?=[$€£]?\.?\d)|(?P<sign>负)(?=\d)",
    re.IGNORECASE | re.MULTILINE,
)
_PAIR = re.compile(r"[(\[{]\s*[-+]?[\d.]+(?:\s*,\s*[-+]?[\d.]+)+\s*\\?[)\]}]")
_BRACED = re.compile(r"\\(?:text|mathrm|mathbf|mathit|textbf|mbox|operatorname|boxed|fbox)\s*\{([^{}]*)\}")


def plain_digits(text: str) -> str:
    """`text` with uniform signs for minus, thousands, times and fractions, and without TeX around numbers."""
    while (bare := _BRACED.sub(r" \1 ", text)) != text:
        text = bare
    text = text.replace("{,}", ",").replace(r"\$", "$").replace(r"\%", "%").replace("{.}", ".")
    text = re.sub(r"(?<=\d)(?:\\[,;:! ]|~|\\thinspace\s?|\\space\s?)(?=\d{3})", "\u2009", text)
    text = re.sub(r"\\left|\\right|\\displaystyle|\\[,;:! ]", "", text)
    text = re.sub(r"(?<=\d)\s*\\[cdt]?frac", r" \\frac", text)
    text = re.sub(r"\\[cdt]?frac\s*\{\s*([-−]?\d+)\s*\}\s*\{\s*(\d+)\s*\}", r"\1/\2", text)
    text = re.sub(r"\\[cdt]?frac\s*(\d)\s*(\d)", r"\1/\2", text)
    text = re.sub(r"(?:±|\\pm)\s*", "±", _NO_NUMBER.sub("√", text))
    text = _PAIR.sub(_parted, text)
    text = re.sub(r"[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda power: "^" + power[0].translate(_SUPERSCRIPTS), text)
    text = re.sub(r"(\d?)([¼-¾⅐-⅞])", lambda part: part[1] + " " * bool(part[1]) + _plain(part[2]), text)
    text = re.sub(r"(\d\s*)(?:\\times|\\cdot|[×·⋅*xX])(\s*10\s*(?:\^|\*\*))", r"\1*\2", text)
    text = re.sub(r"\s{0,2}(?:\^|\*\*)\s*\{?\s*\(?([-−–+]?\d+)\)?\s*\}?", r"^\1", text)
    text = re.sub(r"(?<=\d)\s*\*\s*10\^", "*10^", text)
    text = text.translate(str.maketrans("−‒﹣－，．⁄", "----,./"))
    text = re.sub(r"(?<!\w)–\s?(?=[\d.$€£])|(?<=\^)–|(?<=\d)–(?=\d)", "-", text)
    text = re.sub(r"\^\{?\\circ\}?|°", " ", text)
    text = _NEGATIVE.sub(lambda found: found[0][: -len(found["word"] or found["sign"])] + "-", text)
    groups = rf"(?<![\d.,])(\d{{1,3}})((?:[{_SPACES} '’_]\d{{3}})+)(,\d{{1,2}}(?!\d))?(?![\d/])"
    spaced = re.sub(groups, _joined, text)
    return re.sub(rf"[{_SPACES}]", " ", spaced)


def number_of(text: str) -> Fraction | None:
    """The value of the first number in `text`; None if there is none. Units, currencies and % are ignored."""
    match = NUMBER.search(plain_digits(text))
    return None if match is None else value_of(match)


def value_of(match: re.Match[str]) -> Fraction | None:
    """The value of a match of `NUMBER`; None for a division by zero."""
    scale = match["word"] or match["unit"] or ""
    text = re.sub(r"[^\d.,/\s^*eE+-]", "", match[0].removesuffix(scale).replace("Rs.", "")).strip()
    sign = -1 if text.startswith("-") else 1
    parts = [_SCALES[part] for part in (scale if not scale.isascii() else [scale.casefold()]) if part]
    try:
        return sign * _magnitude(text.lstrip("-+ ")) * Fraction(10) ** sum(parts)
    except ZeroDivisionError:
        return None


def equal_numbers(left: str, right: str) -> bool:
    """Whether both texts hold a number and their first numbers are equal: exactly if both are whole, else within
    `TOLERANCE`."""
    a, b = number_of(left), number_of(right)
    if a is None or b is None or a == b:
        return a is not None and a == b
    whole = a.denominator == b.denominator == 1
    return not whole and abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def is_number(text: str) -> bool:
    """Whether a text is exactly one number."""
    return NUMBER.fullmatch(plain_digits(text.strip())) is not None


def _magnitude(text: str) -> Fraction:
    """The value of a number without its sign, currency and scale."""
    if "/" in text:
        return sum(map(Fraction, text.split()), Fraction())
    base, _, exponent = text.replace(" ", "").replace("*10^", "e").replace("E", "e").partition("e")
    root, _, power = base.partition("^")
    value = Fraction(_pointed(root))
    if power:
        value = value ** int(power)
    return value * Fraction(10) ** int(exponent) if exponent else value


def _pointed(text: str) -> str:
    """A decimal number with a decimal point and without thousands separators."""
    if re.fullmatch(rf"(?:{_GROUPED})(?:\.\d+)?", text):
        return text.replace(",", "")
    if text.count(".") > 1 or ("." in text and "," in text):
        return text.replace(".", "").replace(",", ".")
    return text.replace(",", ".")


def _joined(match: re.Match[str]) -> str:
    decimals = (match[3] or "").replace(",", ".")
    return match[1] + re.sub(rf"[{_SPACES} '’_]", ",", match[2]) + decimals


def _parted(match: re.Match[str]) -> str:
    """A bracketed pair or list with `;` for its commas; one number with thousands separators stays unchanged."""
    return match[0] if re.fullmatch(rf".\s*[-+]?(?:{_GROUPED}).*", match[0]) else match[0].replace(",", " ; ")


def _plain(sign: str) -> str:
    return unicodedata.normalize("NFKC", sign).replace("⁄", "/")
