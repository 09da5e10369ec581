"""Config: sensible as it stands, and senseless values are refused in a sentence."""

import dataclasses
import functools
import math
import os
import re
from typing import Any

import pytest

from emulation import WebSocketEmulation
from emulation.config import TRANSPORTS, Config, network

TIMES = [field.name for field in dataclasses.fields(Config) if field.type == "float"]
COUNTS = [field.name for field in dataclasses.fields(Config) if field.type == "int"]
LISTS = [field.name for field in dataclasses.fields(Config) if field.type == "Sequence[str]"]


def configure(**settings: Any) -> Config:
    return Config(**settings)


def test_defaults_are_those_of_the_wire() -> None:
    config = Config()
    assert (config.heartbeat, config.poll_time, config.resume_time) == (15.0, 20.0, 30.0)
    assert (config.part_size, config.max_message_size) == (65_536, 16 * 1024 * 1024)
    assert (config.window_bytes, config.max_upload) == (1024 * 1024, 516 * 1024)
    assert config.transports == TRANSPORTS
    assert config.max_upload < config.max_body < 1024 * 1024


def test_every_field_is_checked_by_its_kind() -> None:
    assert len(TIMES) + len(COUNTS) + len(LISTS) == len(dataclasses.fields(Config)) - 3


@pytest.mark.parametrize("app", [None, "main:app"])
def test_what_is_wrapped_is_an_application(app: Any) -> None:
    with pytest.raises(TypeError, match="must be an ASGI application"):
        WebSocketEmulation(app)


def test_config_is_frozen_slotted_and_takes_keywords_only() -> None:
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.heartbeat = 1.0  # type: ignore[misc]
    assert not hasattr(config, "__dict__")
    with pytest.raises(TypeError):
        Config(15.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, 3_000_000])
def test_senseless_time_is_a_value_error(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^Config: {name}=.* seconds"):
        configure(**{name: value})


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", ["15", None, True])
def test_time_that_is_no_number_is_a_type_error(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^Config: {name}=.* number of seconds\.$"):
        configure(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_senseless_count_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^Config: {name}=-1 must be at least"):
        configure(**{name: -1})
    with pytest.raises(ValueError, match=rf"^Config: {name}=\d+ must be at most"):
        configure(**{name: 2**53})
    for value in (1.5, "1", None, True):
        with pytest.raises(TypeError, match=rf"^Config: {name}=.* whole number\.$"):
            configure(**{name: value})


@pytest.mark.parametrize("name", sorted(set(COUNTS) - {"max_sessions_per_client"}))
def test_only_the_limit_of_a_client_may_be_zero(name: str) -> None:
    assert Config(max_sessions_per_client=0).max_sessions_per_client == 0
    with pytest.raises(ValueError, match="at least 1"):
        configure(**{name: 0})


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", ["poll", b"poll", None, [1], 5])
def test_list_of_strings_must_be_one(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^Config: {name}="):
        configure(**{name: value})


def test_lists_are_kept_as_tuples() -> None:
    config = Config(transports=["poll"], trusted_proxies=["10.0.0.1", "*"])
    assert config.transports == ("poll",)
    assert hash(config) == hash(dataclasses.replace(config))


@pytest.mark.parametrize(
    "settings",
    [
        {"transports": []},
        {"transports": ["poll", "jsonp"]},
        {"trusted_proxies": ["proxy.example"]},
        {"node": "a b"},
        {"node": "x" * 33},
        {"poll_time": 35.0},
        {"heartbeat": 5.0},
        {"open_answer_time": 30.0},
        {"window_bytes": 1024},
        {"max_upload": 1024},
        {"max_batch": 1024},
    ],
    ids=repr,
)
def test_senseless_setting_is_a_value_error_that_names_it(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))) as raised:
        configure(**settings)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize("settings", [{"principal": "user"}, {"node": 5}], ids=repr)
def test_setting_of_a_wrong_type_is_a_type_error(settings: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="must be a"):
        configure(**settings)


def test_principal_that_would_not_be_awaited_is_a_type_error() -> None:
    async def of(scope: Any) -> str:
        return "ann"

    class Asked:
        async def __call__(self, scope: Any) -> str:
            return "ann"

    for principal in (of, functools.partial(of), Asked()):
        with pytest.raises(TypeError, match=r"^Config: principal must not be async: .*\.$"):
            configure(principal=principal)


def test_small_numbers_that_fit_together_are_fine() -> None:
    Config(heartbeat=0.1, poll_time=0.2, part_size=16, window_bytes=16, max_upload=16, max_batch=16)


def test_principal_is_called_with_the_scope() -> None:
    config = Config(principal=lambda scope: scope["user"])
    assert config.principal is not None
    assert config.principal({"user": "ann"}) == "ann"


def test_network_takes_addresses_and_networks() -> None:
    assert str(network("10.0.0.7")) == "10.0.0.7/32"
    assert str(network("10.1.2.3/8")) == "10.0.0.0/8"
    assert str(network("::1")) == "::1/128"


def test_node_is_drawn_once_for_a_process_and_can_be_given() -> None:
    assert Config().node_name == Config().node_name
    assert re.fullmatch(r"[A-Za-z0-9_-]{8}", Config().node_name)
    assert Config(node="blue-1").node_name == "blue-1"


def test_forked_workers_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One Config made before the fork, as under gunicorn's --preload, serves every worker."""
    config = Config()
    name = config.node_name
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert config.node_name != name
