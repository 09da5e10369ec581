"""The bounds of examinations, by a clock of the test's own."""

from __future__ import annotations

import pytest

from emulation_server.doctor.runs import MAX_BYTES, MAX_SECONDS, RunRefused, Runs

ONE = "a" * 22
TWO = "b" * 22


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(clock: Clock) -> Runs:
    return Runs(clock)


def test_client_has_one_at_a_time(runs: Runs) -> None:
    runs.start(ONE, "10.0.0.1")
    with pytest.raises(RunRefused, match=r"try again in \d+ s") as raised:
        runs.start(TWO, "10.0.0.1")
    assert raised.value.status == 429
    assert 0 < raised.value.wait <= MAX_SECONDS + 1
    runs.start(TWO, "10.0.0.2")


def test_repeated_start_is_the_same_run(runs: Runs) -> None:
    assert runs.start(ONE, "10.0.0.1") is runs.start(ONE, "10.0.0.1")


def test_another_client_gets_nothing_by_a_name(runs: Runs) -> None:
    runs.start(ONE, "10.0.0.1")
    with pytest.raises(RunRefused) as raised:
        runs.get(ONE, "10.0.0.2")
    assert raised.value.status == 404
    with pytest.raises(RunRefused):
        runs.start(ONE, "10.0.0.2")


@pytest.mark.parametrize("name", ["", "a" * 21, "a" * 23, "<" * 22, "a" * 21 + "\n"])
def test_malformed_name_is_refused(runs: Runs, name: str) -> None:
    with pytest.raises(RunRefused) as raised:
        runs.start(name, "10.0.0.1")
    assert raised.value.status == 400


def test_run_is_over_when_it_is_ended(runs: Runs) -> None:
    runs.start(ONE, "10.0.0.1").end()
    with pytest.raises(RunRefused):
        runs.get(ONE, "10.0.0.1")
    runs.start(TWO, "10.0.0.1")


def test_busy_run_is_over_after_its_time(runs: Runs, clock: Clock) -> None:
    run = runs.start(ONE, "10.0.0.1")
    with run.busy():
        clock.now += MAX_SECONDS - 1
        assert runs.get(ONE, "10.0.0.1") is run
        clock.now += 1
        with pytest.raises(RunRefused):
            runs.get(ONE, "10.0.0.1")
    runs.start(TWO, "10.0.0.1")


def test_quiet_run_is_over_sooner(runs: Runs, clock: Clock) -> None:
    run = runs.start(ONE, "10.0.0.1")
    with run.busy():
        clock.now += 60
    clock.now += 15
    assert run.seconds
    clock.now += 6
    assert not run.seconds
    runs.start(TWO, "10.0.0.1")


def test_bytes_are_bounded(runs: Runs) -> None:
    run = runs.start(ONE, "10.0.0.1")
    run.spend(MAX_BYTES)
    with pytest.raises(RunRefused, match="16 MiB") as raised:
        run.spend(1)
    assert raised.value.status == 429


def test_all_together_are_bounded(runs: Runs) -> None:
    for number in range(32):
        runs.start(f"{number:022}", f"10.0.0.{number}")
    with pytest.raises(RunRefused, match="Too many"):
        runs.start(ONE, "10.0.1.1")
