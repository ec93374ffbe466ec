import asyncio

import pytest

from omniroute.clock import Watch


async def test_silence_raises_a_timeout_that_says_how_long():
    with pytest.raises(TimeoutError, match=r"0\.01 s"), Watch(0.01):
        await asyncio.Event().wait()
    await asyncio.sleep(0)  # the task is not left cancelled


async def test_touching_keeps_it_quiet():
    loop = asyncio.get_running_loop()
    turns = 0
    with Watch(0.05) as watch:
        end = loop.time() + 0.2
        while loop.time() < end:
            turns += 1
            watch.touch()
            await asyncio.sleep(0.001)
    assert turns > 5


async def test_a_pause_does_not_count():
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, done.set)
    with Watch(0.01) as watch:
        watch.pause()
        await done.wait()
        watch.touch()
    with pytest.raises(TimeoutError), Watch(0.01) as watch:
        watch.pause()
        watch.touch()
        await asyncio.Event().wait()


async def test_zero_never_fires():
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, done.set)
    with Watch(0):
        await done.wait()


async def test_a_cancellation_from_outside_stays_one():
    async def wait():
        with Watch(5):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_inside_comes_through_and_the_timer_is_gone():
    with pytest.raises(ValueError, match="mine"), Watch(0.01):
        raise ValueError("mine")
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0.03, done.set)
    await done.wait()


async def test_a_limit_ends_the_block_however_busy_it_is():
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError, match=r"more than 0\.05 s"), Watch(0.02, limit_s=0.05) as watch:
        while True:
            watch.touch()
            await asyncio.sleep(0)
    assert watch.limit_reached
    began = loop.time()
    with pytest.raises(TimeoutError), Watch(0, limit_s=0.02) as watch:
        watch.pause()
        await asyncio.Event().wait()
    assert loop.time() - began < 1


@pytest.mark.parametrize(("first_s", "then_s"), [(5, 0.02), (0, 0.02), (0.02, 0.06)])
async def test_another_patience_holds_at_once(first_s, then_s):
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError, match=f"nothing for {then_s:g} s"), Watch(first_s) as watch:
        watch.allow(then_s)
        await asyncio.Event().wait()
    assert then_s * 0.9 <= loop.time() - began < 1
    assert (watch.renewed, watch.limit_reached) == (True, False)


async def test_a_patience_without_end_leaves_the_limit():
    with pytest.raises(TimeoutError, match="more than"), Watch(0.01, limit_s=0.05) as watch:
        watch.allow(0)
        await asyncio.Event().wait()


async def test_each_of_many_watches_has_its_own_time():
    loop = asyncio.get_running_loop()

    async def ended_after(seconds):
        began = loop.time()
        with pytest.raises(TimeoutError, match=f"nothing for {seconds:g} s"), Watch(seconds):
            await asyncio.Event().wait()
        return loop.time() - began

    patience = [0.05, 0.01, 0.03, 5.0, 0.02]
    tasks = [asyncio.create_task(ended_after(seconds)) for seconds in patience]
    tasks.pop(3).cancel()
    patience.pop(3)
    for seconds, took_s in zip(patience, await asyncio.gather(*tasks), strict=True):
        assert seconds * 0.9 <= took_s < 1


async def test_watches_share_one_timer_and_those_that_were_left_need_none():
    with Watch(50), Watch(60) as watch:
        alarm = watch.alarm
        assert alarm.watches >= {watch}
        timer = alarm._timer
        with Watch(70) as later:
            assert later.alarm is alarm
            assert alarm._timer is timer
    assert not alarm.watches
    timer.cancel()
    alarm._ring()
    assert alarm._timer is None


def test_loops_do_not_share_an_alarm():
    async def silent():
        with pytest.raises(TimeoutError), Watch(0.01) as watch:
            await asyncio.Event().wait()
        return watch.alarm

    first, second = asyncio.run(silent()), asyncio.run(silent())
    assert first is not second
