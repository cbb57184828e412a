"""Reads from a reply the labels of a closed set that it lists: several, one, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocols.answers.framing import content_lines, field_of
from protocols.answers.json_objects import values
from protocols.answers.labels import AGAINST, CONCLUDES, CORRECTS, EXPLAINS, HEDGES, KEYED
from protocols.answers.list_words import (
    ASIDE,
    CHOICE,
    CLOSES,
    CUE,
    DENIES,
    EMPTY,
    EXPLAINED,
    ITEM,
    LAST_WORD,
    NONE,
    OPENS,
    PARTS,
    SENTENCES,
    SEPARATED,
    UNSURE,
    UNTICKED,
    VERDICT,
    WEIGHED,
)
from protocols.answers.spelling import Mention, Spellings
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json, show_text
from protocols.thought import INCOMPLETE, without_thought

_KEYS = (
    *("labels", "final_labels", "answers", "answer", "final_answer", "categories", "tags", "classes", "topics"),
    *("intents", "emotions", "predictions", "classification", "result", "label", "category", "class", "tag"),
)
_ONE = ("label", "name", "category", "class", "tag", "value", "type")
_FLAGS: Mapping[str, bool] = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_GAP = 40
"""Most characters between two labels of a list, and before its first."""
_WORDS = 3
"""Most words of an item of a list that counts as an invented label, and not as an explanation."""

Labels = list[str]


@dataclass(frozen=True, slots=True)
class _Line:
    """A prepared line. `listed`: it is an item of a list. `cue`: the noun of words such as `Labels:` before `labels`,
    "" if there are none. `labels`: those that it lists; None if it lists none. `open`: it ends with such words.
    `against`: it names labels that do not apply."""

    text: str
    listed: bool
    cue: str = ""
    labels: Labels | None = None
    open: bool = False
    against: bool = False


class LabelListParser:
    """Reads the labels that a reply lists: in JSON, after words such as `Labels:`, alone on lines, or as a verdict on
    each (`billing: yes`); else those that its only or concluding sentence asserts. None is the list without items.

    Labels are found in any of their `Spellings`; one that is denied, doubted or asked about is not listed. What a
    list names besides is kept as it is written, so that it counts as invented. If the reply gives several lists, or
    leaves a choice open, it is unreadable.
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        """:raises DataError: two labels differ only in case or white space, so no reply could tell them apart."""
        self._spellings = Spellings(labels)
        self._bracketless = not any("(" in label for label in labels)

    def __call__(self, reply: str, finish: Finish = "stop") -> Json:
        """The labels, in the order in which they are known, and after them what else the list names.

        :raises UnreadableReply: the reply lists no labels, or not in one way.
        """
        text, cut = without_thought(reply, finish), finish in INCOMPLETE
        found = self._in_json(text, cut)
        if found is None:
            found = self._in_lines(text, cut)
        known = [label for label in self._spellings.labels if label in found]
        return [*known, *dict.fromkeys(label for label in found if label not in known)]

    def _in_json(self, text: str, cut: bool) -> Labels | None:
        there = list(values(text))
        if cut and re.search(r"[\[{]\s*(?:\"|\Z)", text[there[-1][1] if there else 0 :]):
            raise UnreadableReply("the reply was cut off inside its list")
        for start, end, value in reversed(there):
            if value in ([], {}) and (text[start:end] == "[ ]" or _inside(text, start, end)):
                continue
            if (listed := self._of_json(value)) is not None:
                return listed
        return None

    def _of_json(self, value: Json) -> Labels | None:
        """The labels of a JSON value; None if it is about something else.

        :raises UnreadableReply: it mentions labels, but does not say which of them apply.
        """
        if isinstance(value, list):
            items = [item for inner in value for item in self._item(inner)]
            known = [item for item in items if item in self._spellings.labels]
            return items if known or not value else None
        if not isinstance(value, Mapping):
            return None
        flags = {label: _flag(flag) for key, flag in value.items() if (label := self._alone(key))}
        if flags and None not in flags.values():
            return [label for label, flag in flags.items() if flag]
        said = field_of(value, _KEYS)
        if isinstance(said, str | int | float) and not isinstance(said, bool):
            return self._content(self._spellings.prepared(show_text(said)))
        if said is not None:
            return [] if said in ([], {}) else self._of_json(said)
        lists = [self._of_json(inner) for inner in value.values() if isinstance(inner, list)]
        if not value or len(lists) == 1:
            return lists[0] if lists else []
        if flags:
            raise UnreadableReply("the JSON object in the reply does not say which labels apply")
        return None

    def _item(self, item: Json) -> Iterator[str]:
        if isinstance(item, Mapping):
            if not any(flag is False for flag in item.values()):
                yield from self._item(field_of(item, _ONE))
        elif isinstance(item, str | int | float) and not isinstance(item, bool) and (text := show_text(item).strip()):
            yield self._alone(text) or text

    def _alone(self, text: str) -> str | None:
        return self._spellings.alone(self._spellings.prepared(text))

    def _in_lines(self, text: str, cut: bool) -> Labels:
        prepared = [line for each in content_lines(text) if (line := self._spellings.prepared(each))]
        if not prepared:
            raise UnreadableReply("the reply is empty")
        if (verdicts := self._verdicts(prepared)) is not None and not cut:
            return verdicts
        lines = [self._line(line) for line in prepared]
        blocks = [block for block, end in _blocks(lines) if not cut or self._complete(block, lines, end)]
        if found := [block for block in blocks if block[0].cue] or blocks:
            return self._decided(found, [line.text for line in lines])
        if cut:
            raise UnreadableReply("the reply was cut off before it listed its labels")
        if any(line.open for line in lines):
            raise UnreadableReply("the reply announces labels, and lists none")
        return self._asserted([line.text for line in lines if not line.against])

    def _complete(self, block: Sequence[_Line], lines: Sequence[_Line], end: int) -> bool:
        """Whether a reply that was cut off has the whole of a list, which ends before the line `end`: it is announced
        or comes first, and the next line does not belong to it."""
        if end == len(lines) or not (block[0].cue or block[0] is lines[0]):
            return False
        if len(block) == 1 and not block[0].listed and (block[0].cue or len(block[0].labels or ()) > 1):
            return True
        more = any(self._spellings.prepared(label).startswith(lines[end].text) for label in self._spellings.labels)
        return not more and not lines[end].listed and " " in lines[end].text

    def _verdicts(self, prepared: Sequence[str]) -> Labels | None:
        """The labels with a yes, if every line that begins with a label says yes or no to it."""
        given: dict[str, bool] = {}
        for line in prepared:
            bare = line[item.end() :] if (item := ITEM.match(line)) else line
            if (stated := self._spellings.leading(bare)) is None:
                continue
            verdict = VERDICT.match(bare[stated.end : stated.end + _GAP])
            if verdict is None or stated.label in given or self._spellings.alone(verdict["yes"] or verdict["no"]):
                return None
            given[stated.label] = verdict["yes"] is not None
        return [label for label, yes in given.items() if yes] if given else None

    def _line(self, text: str) -> _Line:
        item = ITEM.match(text)
        if item and self._spellings.alone(text[: item.end()].strip(" .)(-")):
            item = None  # the labels are numbers or letters
        listed = item is not None
        bare = text[item.end() :] if item else text
        stated = self._spellings.leading(bare)
        if UNTICKED.match(text) or (stated and DENIES.match(bare, stated.end, stated.end + _GAP)):
            return _Line(text, listed, labels=[], against=True)
        if (whole := self._content(bare)) is not None:
            return _Line(text, listed, labels=whole)
        cue = None
        for cue in CUE.finditer(bare):  # noqa: B007
            pass
        if cue is None or self._spellings.alone(cue[0].strip(" :=")):
            return self._keyed(text, bare, listed)
        if AGAINST.search(bare, 0, cue.end()):
            return _Line(text, listed, against=True)
        content = bare[cue.end() :]
        if not re.search(r"[\w\[{]", content):
            return _Line(text, listed, cue["noun"] or "s", open=True)
        labels = self._content(content)
        return _Line(text, listed, (cue["noun"] or "s") if labels is not None else "", labels)

    def _keyed(self, text: str, bare: str, listed: bool) -> _Line:
        """A line with a key that the prompt introduced, such as `Teams: billing, refund`."""
        key = KEYED.match(bare)
        if key is None or self._spellings.mentions(key["key"]):
            return _Line(text, listed)
        if AGAINST.search(key["key"]) or EXPLAINS.match(bare):
            return _Line(text, listed, against=True)
        return _Line(text, listed, labels=self._content(bare[key.end() :]))

    def _content(self, text: str) -> Labels | None:
        """The labels that a prepared text lists from its beginning, before an explanation; None if it lists none.

        :raises UnreadableReply: it leaves a choice between labels open.
        """
        if each := self._each(text):
            return each
        if NONE.fullmatch(text) or EMPTY.fullmatch(text):
            return []
        if self._spellings.crowded(text):
            return None
        if self._bracketless:
            text = ASIDE.sub(_explaining, text)
        head = self._head(text)
        if not head:
            return None
        rest = text[head[-1].end :]
        return _named(head) if CLOSES.fullmatch(rest) else self._with_rest(head, rest)

    def _each(self, text: str) -> Labels:
        """The labels of a prepared text of which every part between separators is one; [] if one is none."""
        if text.rstrip("\"')")[-1:] in "?？":
            return []
        labels = [self._spellings.alone(part) for part in PARTS.split(text) if re.search(r"[^\s\[\]\"'`.]", part)]
        return [label for label in labels if label is not None] if None not in labels else []

    def _head(self, text: str) -> Sequence[Mention]:
        """The labels with which a prepared text begins, with nothing but separators between them; none if one of them
        is denied.

        :raises UnreadableReply: it leaves a choice between labels open.
        """
        mentions = self._spellings.mentions(text)
        if not mentions or mentions[0].start > _GAP or not OPENS.fullmatch(text, 0, mentions[0].start):
            return ()
        head = [mentions[0]]
        for after in mentions[1:]:
            _check_choice(text, head[-1], after)
            near = after.start - head[-1].end <= _GAP
            if not (near and after.asserted and SEPARATED.fullmatch(text, head[-1].end, after.start)):
                break
            head.append(after)
        return head if all(mention.asserted for mention in head) else ()

    def _with_rest(self, head: Sequence[Mention], rest: str) -> Labels | None:
        """The listed labels, if the text after them explains them or goes on with the list; None if it does not.

        :raises UnreadableReply: the text denies what stands before it.
        """
        if DENIES.match(rest, 0, _GAP):
            raise UnreadableReply(f"the reply lists {head[-1].label}, and denies it")
        if WEIGHED.match(rest):
            return None
        if explained := EXPLAINED.match(rest, 0, _GAP):
            why = rest[explained.end() :]
            return None if HEDGES.match(why) or CORRECTS.search(why) else _named(head)
        goes_on = SEPARATED.match(rest, 0, _GAP)
        if goes_on is None or not goes_on["mark"] or self._spellings.asserted(rest):
            return None
        items = [item.strip(" \"'`*_.)]}") for item in re.split(r"[,，、;；/|]|\band\b", rest)]
        unknown = [item for item in items if re.search(r"\w", item) and not self._spellings.mentions(item)]
        return [*_named(head), *(item for item in unknown if len(item.split()) <= _WORDS)]

    def _decided(self, blocks: Sequence[Sequence[_Line]], texts: Sequence[str]) -> Labels:
        """The one list of labels that the blocks agree on, or that the last of them concludes.

        :raises UnreadableReply: there are several.
        """
        lists = [[label for line in block for label in line.labels or ()] for block in blocks]
        last = blocks[-1]
        if all(len(block) == 1 and block[0].cue and not _is_plural(block[0].cue) for block in blocks):
            return [label for listed in lists for label in listed]  # Label: a / Label: b
        alike = all(set(listed) == set(lists[0]) for listed in lists)
        if not alike and not (last[0].cue and LAST_WORD.search(last[0].text)):
            raise UnreadableReply("the reply lists labels in several ways; it must list them once")
        place = max(number for number, text in enumerate(texts) if text == last[-1].text)
        if any(CORRECTS.search(text) for text in texts[place + 1 :]):
            raise UnreadableReply("the reply takes its labels back")
        if not lists[-1] and any(line.against for line in last) and not any(line.listed for line in last):
            raise UnreadableReply("the reply only says which labels do not apply")
        return lists[-1]

    def _asserted(self, prepared: Sequence[str]) -> Labels:
        """The labels that the only sentence asserts, or the last one if it concludes; else the only one of all.

        :raises UnreadableReply: there are none, or nothing says which of several apply.
        """
        explains = next((n for n, line in enumerate(prepared) if n and EXPLAINS.match(line)), len(prepared))
        whole = "\n".join(prepared[:explains])
        if self._spellings.crowded(whole):
            raise UnreadableReply("the reply mentions labels again and again, and lists none")
        sentences = [part for line in prepared[:explains] for part in SENTENCES.split(line) if re.search(r"\w", part)]
        if not sentences:
            raise UnreadableReply("the reply lists no labels")
        last = sentences[-1]
        if NONE.fullmatch(last):
            return []
        if UNSURE.search(last):
            raise UnreadableReply("the reply is not sure which labels apply")
        decides = len(sentences) == 1 or CONCLUDES.search(last)
        said = self._spellings.asserted(last if decides else whole)
        for before, after in pairwise(self._spellings.mentions(last) if decides else ()):
            _check_choice(last, before, after)
        if not said:
            raise UnreadableReply("the reply lists no labels")
        if len(said) > 1 and not decides:
            raise UnreadableReply(f"the reply mentions several labels ({', '.join(said)}), and does not list them")
        return said


def _blocks(lines: Sequence[_Line]) -> Iterator[tuple[list[_Line], int]]:
    """The lists of a reply, each as its lines and the number of the line after it: a line with labels, the lines
    after one that announces them, items that follow one another, or labels one to a line."""
    place = 0
    while place < len(lines):
        line, block = lines[place], [lines[place]]
        place += 1
        if line.labels is None and not line.open:
            continue
        if line.open or not line.cue:
            while place < len(lines) and (after := lines[place]).labels is not None and not after.cue:
                short = len(after.labels) <= 1 and len(block[-1].labels or ()) <= 1
                if not (block[-1].open or after.listed or short):
                    break
                block.append(after)
                place += 1
        if any(each.labels is not None for each in block):
            yield block, place


def _inside(text: str, start: int, end: int) -> bool:
    """Whether words stand on both sides in the same line, as in a sentence about an empty list."""
    before, after = text[:start].rpartition("\n")[2].rstrip(), text[end:].partition("\n")[0].lstrip()
    return before[-1:].isalnum() and after[:1].isalnum()


def _explaining(aside: re.Match[str]) -> str:
    """What is left of a text in brackets: nothing, unless it denies or weighs what stands before it."""
    return aside[0] if DENIES.match(aside[1]) or WEIGHED.match(aside[1]) else ""


def _check_choice(text: str, first: Mention, second: Mention) -> None:
    """:raises UnreadableReply: the text leaves a choice between the two open."""
    if second.start - first.end <= _GAP and CHOICE.fullmatch(text, first.end, second.start):
        raise UnreadableReply(f"the reply leaves open whether {first.label} or {second.label} applies")


def _named(mentions: Sequence[Mention]) -> Labels:
    return [mention.label for mention in mentions]


def _is_plural(noun: str) -> bool:
    return noun.endswith("s") and noun != "class"


def _flag(value: Json) -> bool | None:
    """Whether a value says yes; None if it says neither yes nor no."""
    if isinstance(value, float) and not value.is_integer():
        return None
    return _FLAGS.get(str(int(value) if isinstance(value, float) else value).strip().lower())
