import asyncio

import pytest

from omniroute.clock import Watch
from omniroute.contracts import ModelFacts, ProviderFacts, TimeoutFacts
from omniroute.errors import UpstreamStalled, UpstreamTimeout
from omniroute.patience import Patience, patience_of, too_late
from omniroute.registry.facts import changed_facts
from omniroute.routing.router import _timeouts
from omniroute.settings import ProviderSettings, TimeoutSettings
from omniroute.settings.schema import ProviderTimeouts

SETTINGS = TimeoutSettings(connect_s=1, first_byte_s=2, idle_s=3, total_s=4)


@pytest.mark.parametrize(
    ("facts", "patience"),
    [
        (TimeoutFacts(), (1, 2, 3, 4)),
        (TimeoutFacts(first_byte_s=20, total_s=0), (1, 20, 3, 0)),
        (TimeoutFacts(connect_s=0, idle_s=0), (0, 2, 0, 4)),
    ],
)
def test_a_fact_is_nearer_than_a_setting_and_0_is_one(facts, patience):
    found = patience_of(facts, SETTINGS)
    assert (found.connect_s, found.first_byte_s, found.idle_s, found.total_s) == patience


@pytest.mark.parametrize(("total_s", "elapsed_s", "left_s"), [(0, 5, 0), (10, 4, 6), (10, 10, 0.001), (10, 99, 0.001)])
def test_what_is_left_is_none_only_without_a_limit(total_s, elapsed_s, left_s):
    assert Patience(total_s=total_s).left_s(elapsed_s) == left_s


def test_the_nearest_statement_about_each_clock_holds():
    thinker = ModelFacts(id="thinker", timeouts=TimeoutFacts(first_byte_s=300))
    facts = ProviderFacts(
        name="p", dialect="d", base_url="http://127.0.0.1:9", models=(thinker,), timeouts=TimeoutFacts(idle_s=7)
    )
    table = ProviderSettings(
        timeouts=ProviderTimeouts(first_byte_s=60),
        model_timeouts={"thinker": ProviderTimeouts(total_s=900), "any": ProviderTimeouts(idle_s=1)},
    )
    changed = changed_facts(facts, table)
    assert _timeouts(changed, thinker) == TimeoutFacts(first_byte_s=300, idle_s=7, total_s=900)
    assert _timeouts(changed, ModelFacts(id="any")) == TimeoutFacts(first_byte_s=60, idle_s=1)
    assert _timeouts(changed, ModelFacts(id="other")) == TimeoutFacts(first_byte_s=60, idle_s=7)


@pytest.mark.parametrize(
    ("limit_s", "began", "kind", "says"),
    [
        (0, False, UpstreamTimeout, "did not begin"),
        (0, True, UpstreamStalled, "fell silent"),
        (0.01, True, UpstreamTimeout, "total_s"),
    ],
)
async def test_what_the_end_is_called(limit_s, began, kind, says):
    with pytest.raises(TimeoutError) as caught, Watch(0.02, limit_s=limit_s) as watch:
        if began:
            watch.allow(0.02)
        await asyncio.Event().wait()
    error = too_late(watch, caught.value)
    assert (type(error), says in error.message, error.status) == (kind, True, 504)
