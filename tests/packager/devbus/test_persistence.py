"""The store: what was accepted is there after a restart, however the process ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fnpack.devbus.amqp.encode import encode
from fnpack.devbus.amqp.message import Message
from fnpack.devbus.amqp.types import Described, ULong
from fnpack.devbus.entities.namespace import Namespace
from fnpack.devbus.entities.settings import QueueSettings
from fnpack.devbus.entities.stored import State
from fnpack.devbus.persistence import SqliteJournal, StoreError
from fnpack.devbus.server import DevBus

NOW_MS = 1_700_000_000_000


def message(text: str, session: str | None = None) -> Message:
    made = Message(raw_body=encode(Described(ULong(0x75), text.encode())), ttl_ms=10_000_000, priority=7)
    return made.with_properties({"message_id": text, "group_id": session}).with_application({"k": 1})


def space(path: Path, now_ms: int = NOW_MS) -> Namespace:
    return Namespace(lambda: now_ms, SqliteJournal(path))


def stop(one: Namespace) -> None:
    one.journal.close()


def test_messages_in_every_state_are_there_after_a_restart(tmp_path: Path) -> None:
    settings = QueueSettings(max_deliveries=5)
    first = space(tmp_path / "bus")
    queue = first.ensure_queue("q", settings)
    for text in ("done", "failed", "deferred", "dead", "locked", "waiting"):
        queue.send(message(text))
    queue.schedule(message("scheduled"), NOW_MS + 60_000)
    tokens = [(stored.token or b"") for stored in (queue.take() for _ in range(5)) if stored]
    queue.complete(tokens[0])
    queue.defer(tokens[2])
    queue.dead_letter(tokens[3], "why", None)
    queue.abandon(tokens[1])
    stop(first)

    second = space(tmp_path / "bus")
    queue = second.ensure_queue("q", settings)
    found = {one.message.message_id: (one.state, one.delivery_count) for one in queue.peek(0, 99)}
    assert found == {
        "failed": (State.ACTIVE, 1),
        "deferred": (State.DEFERRED, 0),
        "locked": (State.ACTIVE, 0),
        "waiting": (State.ACTIVE, 0),
        "scheduled": (State.SCHEDULED, 0),
    }
    assert queue.peek(0, 1)[0].message == message("failed")
    (dead,) = second.receivable("q/$DeadLetterQueue").peek(0, 9)
    assert dead.message.application == {"k": 1, "DeadLetterReason": "why"}
    assert dead.dead_letter_source == "q"
    assert queue.send(message("next")) == 8  # numbers go on, also those of messages that are gone
    assert [stored.message.message_id for stored in (queue.take() for _ in range(3)) if stored] == [
        "failed",
        "locked",
        "waiting",
    ]
    stop(second)

    third = space(tmp_path / "bus", NOW_MS + 60_000)
    queue = third.ensure_queue("q", settings)
    queue.tick()
    assert "scheduled" in {one.message.message_id for one in queue.peek(0, 99) if one.state is State.ACTIVE}
    stop(third)


def test_sessions_and_message_ids_are_remembered(tmp_path: Path) -> None:
    settings = QueueSettings(requires_session=True, duplicate_window_ms=60_000)
    first = space(tmp_path / "bus")
    queue = first.ensure_queue("q", settings)
    queue.send(message("one", "s"))
    hold = queue.lock_session("s")
    assert hold is not None
    queue.set_session_state("s", b"state")
    stop(first)

    second = space(tmp_path / "bus")
    queue = second.ensure_queue("q", settings)
    assert queue.send(message("one", "s")) is None
    hold = queue.lock_session(None)
    assert hold is not None
    assert queue.session_state("s") == b"state"
    stored = queue.take(hold)
    assert stored is not None
    assert stored.message.session_id == "s"
    stop(second)


def test_a_topics_subscriptions_and_scheduled_messages_are_there(tmp_path: Path) -> None:
    first = space(tmp_path / "bus")
    first.ensure_subscription("t", "s")
    topic = first.ensure_topic("t")
    topic.send(message("now"))
    topic.schedule(message("later"), NOW_MS + 1000)
    stop(first)

    second = space(tmp_path / "bus", NOW_MS + 1000)
    subscription = second.ensure_subscription("t", "s")
    second.ensure_topic("t").tick()
    assert [one.message.message_id for one in subscription.peek(0, 9)] == ["now", "later"]
    stop(second)


def test_a_store_has_one_user_at_a_time(tmp_path: Path) -> None:
    first = space(tmp_path / "bus")
    first.ensure_queue("q").send(message("x"))
    first.journal.commit()
    with pytest.raises(StoreError, match="locked"):
        space(tmp_path / "bus")
    stop(first)


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreError, match="notes.txt"):
        space(path)
    assert path.read_text().startswith("not a database")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        space(tmp_path)


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    stop(space(tmp_path / "bus"))
    with closing(sqlite3.connect(tmp_path / "bus")) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="another version"):
        space(tmp_path / "bus")


async def test_a_server_that_does_not_start_lets_go_of_its_store(tmp_path: Path) -> None:
    first, second = DevBus(), DevBus(store=tmp_path / "bus")
    await first.start()
    with pytest.raises(OSError, match="in use"):
        await second.start(first.port)
    await first.stop()
    stop(space(tmp_path / "bus"))


def start(store: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "fnpack.devbus", "--store", str(store), "--queue", "q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_killed_service_has_every_message_it_accepted(tmp_path: Path, open_client) -> None:
    from azure.servicebus import ServiceBusMessage

    process, connection_string = start(tmp_path / "bus")
    with open_client(connection_string) as client, client.get_queue_sender("q") as sender:
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(50)])
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    process, connection_string = start(tmp_path / "bus")
    found: list[str] = []
    with (
        open_client(connection_string) as client,
        client.get_queue_receiver("q", max_wait_time=10) as receiver,
    ):
        while len(found) < 50:
            for one in receiver.receive_messages(50):
                receiver.complete_message(one)
                found.append(str(one))
    process.terminate()
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert found == [str(number) for number in range(50)]
