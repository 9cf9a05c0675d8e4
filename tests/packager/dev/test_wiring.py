"""Which service a connection setting stands for; no service is started where the user has one."""

from __future__ import annotations

import socket

import pytest

from fnpack.dev.control import ControlServer, ask
from fnpack.dev.errors import DevError
from fnpack.dev.needs import Entity, Needs
from fnpack.dev.services import ServiceOptions, Services
from fnpack.dev.wiring import wire

BUS = "Endpoint=sb://mine.example/;SharedAccessKeyName=a;SharedAccessKey=c2VzYW1l"
STORAGE = "AccountName=mine;AccountKey=c2VzYW1l"


def test_bus_is_started_once_and_has_what_was_named_even_if_a_name_cannot_be() -> None:
    queue, topic, subscription = Entity("queue", "in"), Entity("topic", "t"), Entity("subscription", "s", "t")
    wrong = Entity("queue", "a b")
    said: list[str] = []
    with Services(ServiceOptions(bus_port=0), None, said.append) as services:
        needs = Needs({}, {"Bus": (queue, topic, subscription, wrong), "Other": (queue,)})
        wired = wire(needs, {}, services)
        assert wired.settings["Bus"] == wired.settings["Other"] == services.bus_text
        assert wired.created == [queue, topic, subscription, queue]
        assert ["queue a b is not created" in note for note in wired.notes] == [True]
    assert any("not for production" in line for line in said)


def test_connections_of_the_user_are_left_alone_and_their_values_are_not_shown() -> None:
    with Services(ServiceOptions(), None, pytest.fail) as services:
        needs = Needs({"Store": (Entity("container", "box"),)}, {"Bus": (Entity("queue", "in"),)})
        settings = {"Store": STORAGE, "AzureWebJobsStorage": STORAGE, "Bus": BUS}
        wired = wire(needs, settings, services)
    assert wired.settings == {}
    assert sorted(wired.external) == ["AzureWebJobsStorage", "Bus", "Store"]
    assert "`Store` is yours, so nothing is created there; the app needs container box" in wired.notes
    assert "c2VzYW1l" not in str(wired)


def test_one_setting_cannot_be_two_services() -> None:
    with Services(ServiceOptions(), None, pytest.fail) as services, pytest.raises(DevError) as caught:
        wire(Needs({"Same": ()}, {"Same": ()}), {}, services)
    assert "`Same` is the connection of a storage binding and of a Service Bus binding" in str(caught.value)


def test_taken_port_that_was_asked_for_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        services = Services(ServiceOptions(bus_port=port), None, pytest.fail)
        with services, pytest.raises(DevError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            services.bus()
    assert "--servicebus-port" in str(caught.value.hint)


def test_other_processes_ask_for_entities_and_are_told_what_cannot_be() -> None:
    made: list[Entity] = []

    def ensure(entity: Entity) -> None:
        if entity.name == "bad":
            raise DevError("it cannot be")
        made.append(entity)

    with ControlServer(ensure) as control:
        wanted = Entity("queue", "in", has_sessions=True)
        ask(control.url, [wanted])
        assert made == [wanted]
        with pytest.raises(DevError, match="it cannot be"):
            ask(control.url, [Entity("queue", "bad")])
    with pytest.raises(DevError, match="does not answer"):
        ask(control.url, [wanted])
