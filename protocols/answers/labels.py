"""Reads from a reply one label of a closed set."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from protocols.answers.framing import content_lines, field_of
from protocols.answers.json_objects import placed
from protocols.answers.negation import WORDS
from protocols.answers.parsers import final_answer
from protocols.answers.spelling import Mention, Spellings
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json
from protocols.thought import INCOMPLETE, without_thought

NOUN = (
    "label|answer|category|class|classification|prediction|sentiment|intent|intention|department|topic|result|verdict"
    "|output|decision|conclusion|choice|type|tag|judge?ment"
    "|rating|score|grade"
)
_CUE = re.compile(
    rf"(?:^|(?<=[\s\"'(:.,;]))(?:(?:(?:the|my|final|correct|best|predicted|most|likely|appropriate|suitable|right"
    rf"|overall|assigned|chosen|single|only|fitting|so|thus|therefore)\s+){{0,4}})(?:{NOUN})"
    r"(?:\s+(?:of|for)\s+(?:this|the)\s+\w+)?[\"']?"
    r"(?:\s*(?:is|would be|should be|must be)\b\s*(?:therefore|thus|clearly)?\s*[:=]?|\s*[:=])\s*"
    r"|(?:最终|正确)?(?:答案|标签|类别|分类结果|分类|结果|意图|情感|结论|判断)\s*[是为:]+\s*"
)
KEYED = re.compile(r"(?P<key>[^:=]{1,40})[:=]\s*")
AGAINST = re.compile(r"\b(?:not|no|other|second|runner|previous|alternative|unlikely|excluded|wrong|example|instead)")
EXPLAINS = re.compile(
    r"\W*(?:(?:brief|short|my)\s+)?(?:thoughts?|thinking|explanation|reason|reasoning|reasons|rationale|justification|analysis|note|because"
    r"|解释|理由|原因|说明|分析)\s*[:：-]"
)
CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|overall|consequently|accordingly|conclusion|final|finally|in summary|then|clearly"
    r"|classif\w+|categori[sz]\w+|label\w*|assign\w*|choose|chose|pick|select\w*|go with|would say|i'd say|belongs?"
    r"|falls?|answer|best (?:fit|match)|must be)\b|所以|因此|综上|总之|结论|归为|属于|选择|判定|应该?是"
)
CORRECTS = re.compile(
    r"(?:^|[\s\"'(])(?:wait|actually|correction|on second thoughts?|scratch that|i meant|my mistake)\b|不对|更正|等等"
)
HEDGES = re.compile(
    r"\W*(?:or|and|but|however|maybe|perhaps|possibly|although|though|also|wait|no)\b|但是|也可能|或者"
)
_STRONG = re.compile(r"[\"')\]]*\s*(?:[.;:!({\[—]|[-–]\s|\b(?:because|since|as|due to|for)\b)")
_WEAK = re.compile(r"[\"'`)\]]*\s*,")
_NUMBERED = re.compile(r"\A\s*(?:[-*•+>#]+|\(?(?:\d{1,2}|[a-z])[.)])\s+")
_STEP = re.compile(r"\A\s*\(?(?P<number>\d{1,2})[.)]\s+(?=[^\W\d_])")
_NEXT = re.compile(
    r"\W*(?:(?:next|new|another)\s+)?(?:input|text|message|question|q|example|review|sentence|tweet|user|query|human|email"
    r"|document|article|comment|title|premise|文本|输入|问题|消息)\s*\d{0,3}\s*[:：]"
)
_HELD_LINES = 3
"""At most this many lines that only announce an answer are joined to the line that gives it: the last ones."""
_KEYS = (
    "label",
    "final_label",
    "answer",
    "final_answer",
    "category",
    "class",
    "classification",
    "prediction",
    "result",
)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and the label in it: `cued` after words such as `Label:`, `exact` without them; each None if absent.
    `listed`: it is a list item. `vague`: words announce an answer, but no label follows."""

    text: str
    listed: bool
    cued: str | None = None
    exact: str | None = None
    vague: bool = False


class LabelParser:
    """Reads the one label that a reply names: in JSON, after words such as `Label:`, or alone on a line; else the
    label that its last line concludes, or the only one that the whole reply asserts.

    Labels are whole words in any of their `Spellings`, the longest first. A label that is denied, doubted or asked
    about does not count. Explanations may mention other labels; if several remain and nothing decides between them,
    the reply is unreadable.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        """:raises DataError: two labels differ only in case or white space, so no reply could tell them apart."""
        self._spellings = Spellings(labels)

    def __call__(self, reply: str, finish: Finish = "stop") -> str:
        """The label. In an incomplete reply, only an announced label or one at its beginning counts.

        :raises UnreadableReply: the reply names no label, or several.
        """
        text = without_thought(reply, finish)
        for _, _, value in reversed(list(placed(text))):
            if isinstance(value, Mapping) and (label := self._of_json(value)) is not None:
                return label
        texts = list(self._lines(text))
        steps = len(texts) > 1 and any((step := _STEP.match(line)) and step["number"] == "1" for line in texts)
        lines = _before_next([self._line(line, steps) for line in texts])
        label = self._announced(lines, finish in INCOMPLETE)
        if label is None and finish in INCOMPLETE:
            raise UnreadableReply("the reply was cut off before it named its label")
        return label if label is not None else self._concluded(lines)

    def _of_json(self, value: Mapping[str, Json]) -> str | None:
        """The label in a JSON object; None if it mentions none.

        :raises UnreadableReply: it mentions labels, but does not decide on one.
        """
        said = field_of(value, _KEYS)
        if isinstance(said, Mapping):
            return self._of_json(said)
        if said is None:
            said = [label for inner in _texts(list(value.values())) if (label := self._alone(inner))]
        chosen = [label for text in _texts(said) if (label := self._alone(text))]
        true = [label for key, flag in value.items() if flag is True and (label := self._alone(key))]
        distinct = list(dict.fromkeys([*chosen, *true]))
        if len(distinct) == 1 and len(_texts(said)) <= 1:
            return distinct[0]
        whole = self._spellings.prepared(" ; ".join([*value, *_texts(list(value.values()))]))
        if field_of(value, _KEYS) is None and not self._spellings.mentions(whole):
            return None
        raise UnreadableReply("the JSON object in the reply does not name one label")

    def _alone(self, text: str) -> str | None:
        return self._spellings.alone(self._spellings.prepared(text))

    def _lines(self, text: str) -> Iterator[str]:
        """The prepared lines; lines that only announce an answer are joined to the line that gives it."""
        held: deque[str] = deque(maxlen=_HELD_LINES)
        for line in content_lines(text):
            prepared = self._spellings.prepared(line)
            if not prepared:
                continue
            announces = (match := _last_match(_CUE, prepared)) is not None and match.end() == len(prepared)
            if announces or (prepared in WORDS and self._spellings.alone(prepared) is None):
                held.append(prepared)
            else:
                yield " ".join([*held, prepared])
                held.clear()
        if held:
            yield " ".join(held)

    def _line(self, text: str, steps: bool) -> _Line:
        """`steps`: a line of a number and words is a step of a list, even if the labels are numbers."""
        step = _STEP.match(text)
        numeric = self._spellings.alone(step["number"]) if step else None
        if step and numeric and steps:
            return replace(self._line(text[step.end() :], False), listed=True)
        if numeric:
            return _Line(text, True, exact=numeric)
        number = _NUMBERED.match(text)
        listed = number is not None and self._spellings.alone(number[0]) is None
        bare = text[number.end() :] if number and listed else text
        if self._asked(bare):
            return _Line(text, listed)
        if exact := self._spellings.alone(text) or self._spellings.alone(bare):
            return _Line(text, listed and not (self._spellings.alone(text) and text[:1] not in "-+"), exact=exact)
        if cue := _last_match(_CUE, bare):
            content = bare[cue.end() :]
            if label := self._stated(content):
                return _Line(text, listed, cued=label)
            named = self._spellings.asserted(content)
            if len(named) == 1:
                return _Line(text, listed, cued=named[0])
            if ":" in cue[0] or "=" in cue[0] or named:
                return _Line(text, listed, vague=True)
        if label := self._keyed(bare):
            return _Line(text, listed, exact=label)
        return _Line(text, listed, exact=self._stated(bare))

    def _asked(self, text: str) -> bool:
        """Whether a text is one label with a question mark that is not part of the label."""
        label = self._spellings.alone(text) if text.rstrip("\"')")[-1:] == "?" else None
        return label is not None and not label.endswith("?")

    def _keyed(self, text: str) -> str | None:
        """The label after a key that the prompt introduced, such as `Team: billing`."""
        key = KEYED.match(text)
        if key is None or (label := self._spellings.alone(text[key.end() :])) is None:
            return None
        against = AGAINST.search(key["key"]) or EXPLAINS.match(text) or text.endswith("?")
        return None if against or self._spellings.mentions(key["key"]) else label

    def _stated(self, text: str) -> str | None:
        """The label that is the whole text, or that the text begins with before an explanation."""
        if self._asked(text):
            return None
        if exact := self._spellings.alone(text):
            return exact
        leading = self._spellings.leading(text)
        first = next(iter(self._spellings.mentions(text)), None) if leading else None
        if first is None or leading is None or not first.asserted or first.end != leading.end:
            return None
        rest = text[first.end :]
        return first.label if self._explains(first, rest) else None

    def _explains(self, stated: Mention, rest: str) -> bool:
        """Whether the text after a label only explains it."""
        others = [label for label in self._spellings.asserted(rest) if label != stated.label]
        if strong := _STRONG.match(rest):
            why = rest[strong.end() :]
            return not others or not (self._spellings.alone(why) or HEDGES.match(why) or CORRECTS.search(why))
        return _WEAK.match(rest) is not None and not others

    def _announced(self, lines: Sequence[_Line], cut: bool) -> str | None:
        """The label that the lines state explicitly; None if there is none.

        :raises UnreadableReply: several labels are stated, or an announced answer is no label.
        """
        cued = _distinct(line.cued for line in lines)
        plain = _distinct(line.exact for line in lines if not line.listed)
        first = lines[0].exact if lines and not lines[0].listed else None
        if cut:
            plain = [first] if first else []
        if cued:
            self._check(_distinct([*cued, first]))
            stated = cued[0]
        elif any(line.vague for line in lines):
            self._check(plain)
            raise UnreadableReply("the reply announces an answer, and names no label")
        else:
            plain = plain or ([] if cut else _distinct(line.exact for line in lines))
            self._check(plain)
            if not plain:
                return None
            stated = plain[0]
        self._check_to_the_end(lines, stated, cut)
        return stated

    def _check_to_the_end(self, lines: Sequence[_Line], stated: str, cut: bool) -> None:
        """:raises UnreadableReply: later lines retract the label, or it may be the cut-off beginning of another."""
        place = max(n for n, line in enumerate(lines) if stated in (line.cued, line.exact))
        if cut and place == len(lines) - 1 and self._spellings.may_go_on(stated):
            raise UnreadableReply("the reply was cut off where it named its label")
        for line in lines[place + 1 :]:
            if CORRECTS.search(line.text):
                self._check(_distinct([stated, *self._spellings.asserted(line.text)]))

    def _concluded(self, lines: Sequence[_Line]) -> str:
        """The only label that the reply asserts; if there are several, the one that its last line concludes.

        :raises UnreadableReply: the reply asserts no label, or several without a conclusion.
        """
        texts = [line.text for line in lines]
        explains = next((n for n, text in enumerate(texts) if n and EXPLAINS.match(text)), len(texts))
        if self._spellings.asserted("\n".join(texts[:explains])):
            texts = texts[:explains]
        if self._spellings.crowded(whole := "\n".join(texts)):
            raise UnreadableReply("the reply mentions labels again and again, and decides on none")
        named = self._spellings.asserted(whole)
        if len(named) > 1 and (label := self._conclusion(texts[-1])):
            return label
        if not named:
            raise UnreadableReply("the reply names no label")
        self._check(named)
        return named[0]

    def _conclusion(self, line: str) -> str | None:
        """The only label of the last sentence, if it follows concluding words such as `therefore`."""
        sentences = [part for part in re.split(r"(?<=[.;!?。；！？])\s*", line) if _word(part)]
        if not sentences:
            return None
        sentence = sentences[-1]
        last, begun = self._spellings.asserted(sentence), CONCLUDES.search(sentence)
        if begun and len(last) == 1 and last == self._spellings.asserted(sentence[begun.start() :]):
            return last[0]
        return None

    def _check(self, named: Sequence[str]) -> None:
        if len(named) > 1:
            raise UnreadableReply(f"the reply names several labels ({', '.join(named)}); it must name one")


class FinalLabelParser(LabelParser):
    """Reads the one label at the beginning or end of the final answer, because words such as `no` and `valid` have
    other meanings within reasoning."""

    def __call__(self, reply: str, finish: Finish = "stop") -> str:
        """The label.

        :raises UnreadableReply: the final answer has no label there, or several.
        """
        answer = final_answer(reply, finish)
        text = self._spellings.prepared(answer)
        if exact := self._spellings.alone(text):
            return exact
        edges = [
            mention
            for mention in self._spellings.mentions(text)
            if not (_word(text[: mention.start]) and _word(text[mention.end :]))
        ]
        named = _distinct(mention.label for mention in edges)
        if len(named) != 1 or not all(mention.asserted for mention in edges):
            labels = ", ".join(self._spellings.labels)
            raise UnreadableReply(f"the reply must end with one of {labels}, and ends with {answer!r}")
        return named[0]


def _before_next(lines: Sequence[_Line]) -> Sequence[_Line]:
    """The lines up to a further example that the model invents after it began with its answer to this one."""
    if not lines or lines[0].listed or not (lines[0].cued or lines[0].exact):
        return lines
    return lines[: next((n for n, line in enumerate(lines) if n and _NEXT.match(line.text)), len(lines))]


def _texts(value: object) -> list[str]:
    """A JSON value's texts and numbers as texts: the value itself, or the items of a list."""
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [str(value)] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


def _distinct(labels: Iterator[str | None] | Sequence[str | None]) -> list[str]:
    return list(dict.fromkeys(label for label in labels if label is not None))


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    match = None
    for match in pattern.finditer(text):  # noqa: B007
        pass
    return match


def _word(text: str) -> bool:
    return re.search(r"\w", text) is not None
