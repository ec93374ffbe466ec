import msgspec
import pytest

from omniroute import passport
from omniroute.api import (
    ChatRequest,
    Message,
    MetadataDelta,
    PartStart,
    ReasoningPart,
    Source,
    Target,
    TextPart,
    ToolCallPart,
    Translator,
)
from omniroute.passport import Passports, without_signatures


class Signing(Translator):
    """A dialect whose signatures every account of the vendor can have read."""

    dialect = "signing"
    opaque_keys = frozenset({"signature"})
    opaque_marks = (b'"signature"',)
    opaque_pattern = rb'"signature":"([^"]+)"'


class Sealing(Translator):
    """A dialect whose sealed reasoning belongs to one account."""

    dialect = "sealing"
    opaque_keys = frozenset({"sealed"})
    opaque_marks = (b'"sealed"',)
    opaque_pattern = rb'"sealed":"([^"]+)"'
    opaque_is_account_bound = True


class Plain(Translator):
    dialect = "plain"


HERE, SISTER, ELSEWHERE = (
    Target(provider=provider, model="m", account=account)
    for provider, account in (("acme", "one"), ("acme", "two"), ("other", "one"))
)
BODIES = {
    "signing": b'{"thinking":"hm","signature":"c2ln"}',
    "sealing": b'{"summary":[],"sealed":"c2ln"}',
}


@pytest.fixture
def passports():
    return Passports([Signing(), Sealing(), Plain()])


def shown(passports, dialect, maker):
    """A relayed answer has gone to the client."""
    watch = passports.watcher(dialect, maker)
    watch(b"nothing")
    watch(BODIES[dialect])


@pytest.mark.parametrize(
    ("dialect", "readers"),
    [
        pytest.param("signing", {HERE, SISTER}, id="any account of the vendor"),
        pytest.param("sealing", {HERE}, id="the account alone"),
    ],
)
@pytest.mark.parametrize("way", ["relayed", "in an event", "at a part's start", "whole"])
def test_p07_p08_a_text_is_good_for_those_who_can_read_it(passports, dialect, readers, way):
    metadata = {dialect: dict.fromkeys(("signature", "sealed"), "c2ln")}
    part = ReasoningPart(text="hm", provider_metadata=metadata)
    match way:
        case "relayed":
            shown(passports, dialect, HERE)
        case "in an event":
            passports.remember(MetadataDelta(index=0, provider_metadata=metadata), HERE)
        case "at a part's start":
            passports.remember(PartStart(index=0, part=part), HERE)
        case _:
            passports.remember_parts([part], HERE)
    texts = passports.found_in(dialect, BODIES[dialect])
    assert texts == [b"c2ln"]
    assert {target for target in (HERE, SISTER, ELSEWHERE) if passports.all_good(texts, target)} == readers
    assert {
        target for target in (HERE, SISTER, ELSEWHERE) if not passports.has_foreign(dialect, BODIES[dialect], target)
    } == readers
    asked = ChatRequest(model="m", messages=(Message(role="assistant", parts=(part, TextPart(text="ok"))),))
    kept = {
        target
        for target in (HERE, SISTER, ELSEWHERE)
        if without_signatures(asked, passports.foreign_to(target)) is asked
    }
    assert kept == readers


def test_p08_sealed_reasoning_names_the_account_that_can_go_on(passports):
    assert passports.minted_by("sealing", BODIES["sealing"]) is None  # nobody knows
    shown(passports, "sealing", HERE)
    assert passports.minted_by("sealing", BODIES["sealing"]) == ("acme", "one")
    assert passports.minted_by("plain", BODIES["sealing"]) is None
    shown(passports, "signing", HERE)
    assert passports.minted_by("signing", BODIES["signing"]) is None  # its sister does as well


def test_p08_of_several_accounts_the_last_one_goes_on(passports):
    for text, maker in ((b"old", HERE), (b"new", SISTER)):
        passports.watcher("sealing", maker)(b'"sealed":"%b"' % text)
    assert passports.minted_by("sealing", b'["sealed":"old","sealed":"new","sealed":"unknown"]') == ("acme", "two")


def test_what_nobody_remembers_goes_through(passports):
    assert passports.all_good([b"unknown"], ELSEWHERE)
    assert not passports.has_foreign("signing", BODIES["signing"], ELSEWHERE)
    passports.watcher("signing", HERE)(b'"signature":"known"')
    assert not passports.has_foreign("signing", BODIES["signing"], ELSEWHERE)
    assert passports.has_foreign("signing", b'"signature":"known"', ELSEWHERE)
    assert not passports.foreign_to(ELSEWHERE)("signature", "unknown")
    assert passports.any("signature", "unknown")
    assert not passports.any("other", "unknown")


def test_a_dialect_without_opaque_fields_is_not_watched(passports):
    assert passports.watcher("plain", HERE) is None
    assert passports.found_in("plain", b'"signature":"c2ln"') == []


def test_an_escaped_text_is_the_same_text(passports):
    passports.watcher("signing", HERE)(b'"signature":"a\\/b\\u003d"')
    assert not passports.all_good([b"a/b="], ELSEWHERE)


def test_nobody_has_to_search_before_a_text_of_somebody_else_is_known(passports):
    assert not passports.has_others(HERE)
    shown(passports, "signing", HERE)
    assert (passports.has_others(HERE), passports.has_others(ELSEWHERE)) == (False, True)


def test_p07_what_is_taken_out_is_a_loss_at_its_place_and_nothing_else_changes(passports):
    shown(passports, "signing", HERE)
    signed = {"signing": {"signature": "c2ln", "more": 1}}
    thought = ReasoningPart(text="hm", provider_metadata=signed, source=Source("/input/3"))
    call = ToolCallPart(id="c", name="f", arguments="{}", provider_metadata=signed, source=Source("/input/4"))
    alone = Message(role="assistant", parts=(thought,))
    asked = ChatRequest(model="m", messages=(alone, Message(role="assistant", parts=(thought, call))))
    left = without_signatures(asked, passports.foreign_to(ELSEWHERE))
    bare = msgspec.structs.replace(call, provider_metadata={"signing": {"more": 1}})
    assert left.messages == (Message(role="assistant", parts=(bare,)),)
    assert [(loss.pointer, loss.kind) for loss in left.losses] == [
        ("/input/3", "dropped"),
        ("/input/3", "dropped"),
        ("/input/4", "dropped"),
    ]


def test_p07_unsigned_reasoning_goes_too_where_none_is_taken_back(passports):
    thought, said = ReasoningPart(text="hm", source=Source("/input/3")), TextPart(text="ok")
    asked = ChatRequest(model="m", messages=(Message(role="assistant", parts=(thought, said)),))
    assert without_signatures(asked, passports.any) is asked
    left = without_signatures(asked, passports.any, unsigned_too=True)
    assert left.messages == (Message(role="assistant", parts=(said,)),)
    assert [(loss.pointer, loss.kind) for loss in left.losses] == [("/input/3", "dropped")]


def test_memory_is_limited_and_the_oldest_half_goes(passports, monkeypatch):
    monkeypatch.setattr(passport, "MAX_REMEMBERED", 4)
    watch = passports.watcher("signing", HERE)
    for number in range(5):
        watch(b'"signature":"%d"' % number)
    assert [passports.all_good([b"%d" % number], ELSEWHERE) for number in range(5)] == [True, True, False, False, False]
