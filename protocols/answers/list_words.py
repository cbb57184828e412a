"""The words and marks by which a list of labels is told from what is said around it, in folded text."""

from __future__ import annotations

import re

from protocols.answers.labels import NOUN

_PLURALS = (
    "labels|answers|categories|classes|tags|topics|intents|themes|genres|emotions|sentiments|types|codes|results"
)
_OWN = (
    r"the|my|all|final|correct|best|predicted|most|likely|appropriate|suitable|right|overall|assigned|chosen"
    r"|applicable|relevant|matching|fitting|selected|so|thus|therefore|following"
)
CUE = re.compile(
    rf"(?:^|(?<=[\s\"'(:.,;]))(?:(?:{_OWN})\s+){{0,4}}(?P<noun>{_PLURALS}|{NOUN})"
    r"(?:\(s\))?(?:\s+(?:of|for)\s+(?:this|the)\s+\w+|\s+(?:that|which)\s+(?:apply|applies|fit|fits|match|matches))?"
    r"[\"']?(?:\s*(?:is|are|would be|should be|must be)\b\s*(?:therefore|thus|clearly)?\s*[:=]?|\s*[:=])\s*"
    r"|(?:最终|正确|适用)?(?:的)?(?:答案|标签|类别|分类结果|分类|结果|意图|情感|主题|判断)\s*[是为:]+\s*"
)
ITEM = re.compile(r"\A\s*(?:(?:[-*•+>#]+|\(?(?:\d{1,3}|[a-z])[.)]|\[[ x✓✔]?\])\s+)+")
UNTICKED = re.compile(r"\A\s*(?:[-*•]\s+)?\[ ?\]\s+\w")
SEPARATED = re.compile(
    r"[\s\"'`*_.]*(?P<mark>[,，、;；/&|+·•#\n]|\]\s*,?\s*\[)?[\s\"'`*_#]*"
    r"(?P<word>\b(?:and(?:\s+also)?|also|plus|as well as|und|et|y|e|og|и)\b|和|与|及|以及|并且)?"
    r"[\s\"'`*_#]*(?:\b(?:the|an?)\b\s*)?[\"'`*_#]*"
)
PARTS = re.compile(r"[,，、;；|·•]|\s(?:and|&)\s")
CHOICE = re.compile(r"[\s\"'`*,]*(?:\b(?:either|x?or|oder|ou)\b|或者?)[\s\"'`*]*(?:\b(?:the|an?)\b\s*)?")
OPENS = re.compile(r"[\s\"'`*_#\[({]*(?:\b(?:both|the|an?)\b\s*)*[\"'`*_#\[({]*")
CLOSES = re.compile(r"[\s\"'`*_\])}.!。]*\Z")
EXPLAINED = re.compile(
    r"[\"'\])}*]*\s*(?:[.;:!({—]|[-–]\s|[,，]?\s*\b(?:because|since|as|due to|for|given)\b|[,，]?\s*因为)"
)
DENIES = re.compile(
    r"[\"'\])}*]*\s*[:=({—–-]*\s*(?:\w+\s+){0,2}?"
    r"(?:no|not|none|never|n/?a|false|absent|(?:do|does|is|was|are)(?:n't| not)|没有|不)(?!\w)"
)
ASIDE = re.compile(r"\s*\(([^()]*)\)")
WEIGHED = re.compile(r"[\"'\])}*]*\s*[:=(—–-]*\s*\d+(?:[.,]\d+)?\s*(?:%|/\s*\d+)?[\s)]*\Z")
UNSURE = re.compile(r"\b(?:maybe|perhaps|possibly|potentially|might|could|arguably)\b|可能|也许|或许")
VERDICT = re.compile(
    r"[\"'\])}*]*\s*(?:[:=(|→>—–-]+\s*|\s+)[\"'*]*"
    r"(?:(?P<yes>yes|true|1|applies|present|✓|✔|✅|是)|(?P<no>no|false|0|n/?a|absent|✗|✘|×|❌|否))"
    r"(?=[\"'*)\]|]*\s*(?:$|[|.,;:(—–-]))"
)
NONE = re.compile(
    r"\W*(?:there (?:is|are) )?"
    r"(?:none(?: of (?:them|these|those|the (?:above|labels|categories|tags|classes|options|topics)))?"
    r"|no (?:labels?|categor(?:y|ies)|tags?|class(?:es)?|topics?)|nothing|n/a|empty|null|无|没有|都不适用)"
    r"(?: (?:of )?(?:do|does|that)?\s*(?:applies|apply|applicable|fits?|match(?:es)?|found|here|at all))*\W*"
)
EMPTY = re.compile(r"[\"'`]*(?:\[\s*\]|\{\s*\})[\"'`.]*")
SENTENCES = re.compile(r"(?<=[.;!?。；！？])\s*")
LAST_WORD = re.compile(
    r"\b(?:final|finally|therefore|thus|so|hence|in summary|conclusion|最终|所以|因此)\b|最终|所以|因此"
)
