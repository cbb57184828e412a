"""Tells whether a text denies, doubts or asks about something that it mentions, in several languages.

It looks at nearby words, and is conservative: a mention that may be denied is not asserted. Texts must be folded.
"""

from __future__ import annotations

import re

WORDS = frozenset({"no", "not", "non", "none", "never", "nein", "nicht", "kein", "нет", "不", "否", "无"})
"""Denials that may be labels themselves."""
REACH = 240
"""Range of a denial or a doubt in characters: longer than most sentences."""
MOST = 200
"""Most mentions that are examined in one text; a text with this many decides on nothing."""
_BEFORE = re.compile(
    r"(?:\b\w+n't|\b(?:not|cannot|cant|isnt|never|no|non|neither|nor|without|hardly|barely|unlikely|lacks?|minus|none"
    r"|nothing|false|rather than|instead of|as opposed to|other than|except|excluding|unlike|far from"
    r"|(?:any|every)thing but|rul(?:e|es|ed|ing) out|exclud(?:e|es|ed)|lack of|absence of|free of|fails? to"
    r"|fail(?:ed|ing|ure) to (?:be|qualify|count|meet|show|sound|come|convey|express|establish|reach|support)"
    r"|opposite|reverse|antithesis|contrary|den(?:y|ies)|(?:refus|declin)(?:e|es|ed|ing|al) to"
    r"|rejects?|disputes?|disagree(?:s|d)?|doubt(?:s|ed|ful)?|short of|ceas(?:e|es|ed) to"
    r"|used to be|scarcely|nowhere near|less than|too \w+ to be|devoid of|(?<!\ba )little"
    r"|(?:almost|nearly)(?! (?:all|always|certainly|completely|entirely|wholly))"
    r"|(?:pretend|claim|tr(?:y|ie)|want|hope|attempt|aim|seek)(?:s|ed|ing)? to be|(?:supposed|meant|intended) to be"
    r"|(?:wrong|incorrect|inaccurate|misleading|mistake|mistaken) to|wrongly|mistakenly|falsely|incorrectly"
    r"|nicht|kein\w*|nie|ohne|weder|pas|ni|jamais|sans|aucun\w*|não|nem|sin|sem|senza|nunca|jamás|ning[uú]n\w*"
    r"|niet|geen|inte|ikke|ej|ingen|не|ни|нет|без|ні|không|chẳng|bukan|tidak|ليس|ليست|لا|غير)\b"
    r"|不(?![过仅但光])|非(?!常)|没(?!错)|無(?!論)|无(?![论疑])|未|沒|ไม่)"
)
# Models state decisions as "would be classified as", so that is no doubt.
_DOUBT = re.compile(
    r"\b(?:whether|(?<!even )if(?! (?:anything|i (?:had|have|were|must)|forced)\b)|unless|provided|assuming"
    r"|otherwise|else|unsure|unclear|uncertain|undecided|not (?:sure|certain|clear|enough)|hard to (?:say|tell)"
    r"|(?:can't|cannot|unable to|impossible to) (?:tell|say|determine|decide|know)|ob|si)\b|不确定|无法判断|是否|如果"
    r"|(?<!\bi )(?<!\bwe )\b(?:could|would|might|may)(?! be: )"
    r"(?!(?<=would)(?:\s+(?:\w+ly|best|also))*\s+(?:fall|belong"
    r"|be (?:\w+ly |best )?(?:classified|categori[sz]ed|labell?ed|considered|tagged|routed|assigned|placed|filed))\b)"
    r"(?:\s+(?:\w+ly|also|well|still|perhaps|otherwise))*"
    r"\s+(?:be|been|have|fit|seem|appear|look|read|sound|count|pass|qualify|fall|belong|apply|work|suggest|indicate"
    r"|imply|mean)\b"
)
_CONDITION = re.compile(
    r"[\s,]*(?:only |but )*(?:if|when|unless|assuming|provided|were|should|had)\b"
    r"(?! (?:i (?:had|have|were|must)|anything)\b)"
    r"|[\s,]*如果"
)
"""A condition before a comma that also applies to the part after it."""
_OPEN = re.compile(r"\b(?:whether|if)\s*\Z")
_ON_CONDITION = re.compile(
    r"[^.;!?。；！？…\n,:，：]{0,120}?(?:,\s*(?:but |and )?(?:only )?)?"
    r"(?<!even )(?<!as )(?<!ask )(?<!asks )(?<!asked )(?<!asking )(?<!know )(?<!see )(?<!check )(?<!knowing )"
    r"(?<!wonder )(?<!wonders )(?<!wondering )"
    r"\b(?:if|unless|provided|assuming|as long as|were (?:it|this|that|the))\b"
    r"|[\"'`)]*\s*(?:\w+\s+)?(?:could|would|might|may) (?:also |well |still )?(?:be|have|fit|seem|apply|work)\b"
)
_COMMA = re.compile(r"[,，、]")
_TURN = re.compile(
    r"[.;!?。；！？…)\]}\n:：]|(?<=\s)[-—–](?=\s)|—"
    r"|\b(?:(?<!anything )(?<!everything )but|however|so|therefore|thus|hence|because|since|while|whereas|which"
    r"|sondern|mais|sino|а|но|and (?:it is|it's|this is|that is)|instead(?! of)|rather(?! than))\b"
    r"|而是|但|因此|所以|因为|而(?!非)"
)
_BOUNDARY = re.compile(rf"{_TURN.pattern}|{_COMMA.pattern}")
_SENTENCE = re.compile(r"[.;!?。；！？\n]")
_FILLER = r"(?:\s*(?:[\"'`(-]|\b(?:a|an|the|any|be|is|of|as|about|considered|classified|labell?ed)\b))*\s*"
_DIRECT = re.compile(
    rf"(?:n't|\bnot|\bcannot|\bnon|\bno|\bnever|\bisnt|\bnicht|\bkein\w*|\bpas|\bне|不是|并非|不属于|非|不|无){_FILLER}\Z"
)
_AFTER = re.compile(
    r"[\"'`)\]*]*\s*(?:label|category|class|option)?\s*"
    r"(?:\b(?:is|are|was|were|does|do|did|can|could|would|should|has|have|need)(?:n't|not\b)|\b(?:can't|won't|cannot)"
    r"|\b(?:is|are|was|were|does|do|did|can|could|would|should|has|have|seems?|appears?|looks?)\s+(?:\w+\s+)?"
    r"(?:not|never|unlikely|wrong|incorrect|false|out|excluded|ruled|inapplicable|irrelevant|absent|no)\b"
    r"|(?:[:=?–—-]*\s*[(\[]?|,)\s*(?:(?:definitely |certainly )?not? (?:applicable|really|likely|at all)"
    r"|nope|hardly|never|unlikely|false|incorrect|wrong|no|not|否|×|✗|✘|❌)"
    r"(?=\s*(?:$|[.,;!)\]\n]))"
    r"|\s+it (?:is not|isn't)(?=\s*(?:$|[.,;!]))|无关"
    r"|では?(?:な|あり)|じゃな|(?:이|가)?\s*아니|않|değil|नहीं|不对|不适用|可以?排除)"
)


def denied(text: str, start: int, end: int, since: int = 0) -> bool:
    """Whether `text[start:end]` is denied, doubted or asked about, and so not asserted. `since`: words before this
    position are ignored."""
    before = text[max(since, _last(_BOUNDARY, text, start)) : start]
    if _BEFORE.search(before) or _AFTER.match(text, end, end + REACH):
        return True
    stop = _SENTENCE.search(text, end, end + REACH)
    return _doubted(text, start, end) or (stop is not None and stop[0] in "?？")


def _doubted(text: str, start: int, end: int) -> bool:
    """Whether the clause around `text[start:end]` doubts it, or makes it conditional."""
    parts = _COMMA.split(text[_last(_TURN, text, start) : start])
    if _DOUBT.search(parts[-1]) or (len(parts) > 1 and _CONDITION.match(parts[-2])):
        return True
    if any(_OPEN.search(part) for part in parts[:-1]):  # whether, on balance, it is
        return True
    turn = _TURN.search(text, end, end + REACH)
    return _ON_CONDITION.match(text, end, turn.start() if turn else end + REACH) is not None


def denied_directly(text: str, start: int) -> bool:
    """Whether a denial comes right before `start`, with at most filler words such as an article between."""
    return _DIRECT.search(text[_last(_BOUNDARY, text, start) : start]) is not None


def _last(pattern: re.Pattern[str], text: str, end: int) -> int:
    """The end of the last match before `end`, at most `REACH` characters away; the limit if there is none."""
    begin = max(0, end - REACH)
    return max((match.end() for match in pattern.finditer(text, begin, end)), default=begin)
