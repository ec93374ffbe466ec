import pytest

from omniroute.quota import forecast

HOUR = 3600.0


def steady(*, start=1.0, per_hour=0.2, hours=2.0, every_s=600.0):
    count = int(hours * HOUR / every_s) + 1
    return [(at * every_s, start - per_hour * at * every_s / HOUR) for at in range(count)]


def test_steady_use_leads_to_one_moment():
    found = forecast(steady(), now_s=2 * HOUR, resets_at_s=None)
    assert found.burn_per_hour == pytest.approx(0.2)
    assert found.empty_at_s == pytest.approx(5 * HOUR)
    assert found.margin_s == pytest.approx(0, abs=1)
    assert not found.lasts


def test_uneven_use_has_a_band_around_that_moment():
    even = steady()
    uneven = [(at_s, left + (0.01 if place % 2 else -0.01)) for place, (at_s, left) in enumerate(even)]
    found = forecast(uneven, now_s=2 * HOUR, resets_at_s=None)
    assert found.earliest_s < found.empty_at_s < found.latest_s
    assert 60 < found.margin_s < HOUR
    assert found.empty_at_s == pytest.approx(5 * HOUR, rel=0.05)


def test_the_band_of_use_that_may_have_stopped_has_no_end():
    found = forecast([(0, 0.9), (300, 0.5), (600, 0.88)], now_s=600, resets_at_s=None)
    assert found.latest_s is None
    assert found.margin_s is None


@pytest.mark.parametrize(("resets_at_s", "lasts"), [(4 * HOUR, True), (6 * HOUR, False), (None, False)])
def test_a_quota_that_is_full_again_before_lasts(resets_at_s, lasts):
    assert forecast(steady(), now_s=2 * HOUR, resets_at_s=resets_at_s).lasts is lasts


def test_what_is_past_is_now():
    found = forecast(steady(hours=4), now_s=6 * HOUR, resets_at_s=None)
    assert found.empty_at_s == found.earliest_s == 6 * HOUR


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([], id="nothing"),
        pytest.param([(0, 1.0), (3000, 0.5)], id="two looks"),
        pytest.param([(0, 1.0), (60, 0.9), (120, 0.8)], id="two minutes"),
        pytest.param([(0, 0.5), (300, 0.5), (600, 0.5)], id="not used"),
        pytest.param([(0, 0.5), (300, 0.51), (600, 0.52)], id="getting more"),
        pytest.param([(0, 0.4), (300, 0.1), (600, 0.0)], id="empty"),
    ],
)
def test_nothing_is_said_of_what_nobody_can_know(samples):
    assert forecast(samples, now_s=600, resets_at_s=None) is None
