"""Makes the entities of docker/servicebus/Config.json in a namespace on Azure, for the contract tests to run there.

    SERVICEBUS_CONNECTION='Endpoint=sb://...' python scripts/service_bus_entities.py [--delete]

The key needs the right Manage. Entities that are there already are left as they are; `--delete` takes all of them away.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from fnpack.devbus.comments import without_comments

if TYPE_CHECKING:
    from azure.servicebus.management import (
        CorrelationRuleFilter,
        ServiceBusAdministrationClient,
        SqlRuleFilter,
    )

CONFIG = Path(__file__).parent.parent / "docker" / "servicebus" / "Config.json"
SETTING = "SERVICEBUS_CONNECTION"
# a property of Config.json -> the administration client's name for it
PROPERTIES = {
    "DeadLetteringOnMessageExpiration": "dead_lettering_on_message_expiration",
    "DefaultMessageTimeToLive": "default_message_time_to_live",
    "DuplicateDetectionHistoryTimeWindow": "duplicate_detection_history_time_window",
    "ForwardDeadLetteredMessagesTo": "forward_dead_lettered_messages_to",
    "ForwardTo": "forward_to",
    "LockDuration": "lock_duration",
    "MaxDeliveryCount": "max_delivery_count",
    "RequiresDuplicateDetection": "requires_duplicate_detection",
    "RequiresSession": "requires_session",
}
SYSTEM_NAMES = {
    "ContentType": "content_type",
    "CorrelationId": "correlation_id",
    "Label": "label",
    "MessageId": "message_id",
    "ReplyTo": "reply_to",
    "ReplyToSessionId": "reply_to_session_id",
    "SessionId": "session_id",
    "To": "to",
}
Step = tuple[str, Callable[[], object]]


def main() -> int:
    """Make the entities, or delete them; one line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delete", action="store_true", help="delete the entities instead")
    options = parser.parse_args()
    connection_string = os.environ.get(SETTING, "")
    if not connection_string:
        print(f"set {SETTING} to the connection string of a namespace on Azure", file=sys.stderr)
        return 2
    from azure.servicebus.management import ServiceBusAdministrationClient

    with ServiceBusAdministrationClient.from_connection_string(connection_string) as client:
        apply(client, delete=options.delete)
    return 0


def apply(client: ServiceBusAdministrationClient, *, delete: bool = False) -> None:
    """Make the entities in the client's namespace, or delete them, and say so."""
    namespace = json.loads(without_comments(CONFIG.read_text("utf-8")))["UserConfig"]["Namespaces"][0]
    for what, do in (deletions if delete else creations)(client, namespace):
        print(f"{what}: {outcome_of(do) or ('deleted' if delete else 'made')}")


def outcome_of(do: Callable[[], object]) -> str:
    """Do it; says so where there was nothing to do."""
    try:
        do()
    except ResourceExistsError:
        return "there already"
    except ResourceNotFoundError:
        return "not there"
    return ""


def creations(client: ServiceBusAdministrationClient, namespace: dict[str, Any]) -> Iterator[Step]:
    """What to make, in order."""
    for queue in namespace.get("Queues", []):
        name = queue["Name"]
        yield f"queue {name}", lambda: client.create_queue(name, **properties(queue))  # noqa: B023 - called at once
    for topic in namespace.get("Topics", []):
        where = topic["Name"]
        yield f"topic {where}", lambda: client.create_topic(where, **properties(topic))  # noqa: B023
        for subscription in topic.get("Subscriptions", []):
            name = subscription["Name"]
            yield (
                f"subscription {where}/{name}",
                lambda: client.create_subscription(where, name, **properties(subscription)),  # noqa: B023
            )
            rules = subscription.get("Rules", [])
            if rules:  # the service makes a rule that lets everything through
                yield f"rule {where}/{name}/$Default", lambda: client.delete_rule(where, name, "$Default")  # noqa: B023
            for rule in rules:
                yield (
                    f"rule {where}/{name}/{rule['Name']}",
                    lambda: client.create_rule(where, name, rule["Name"], filter=filter_of(rule)),  # noqa: B023
                )


def deletions(client: ServiceBusAdministrationClient, namespace: dict[str, Any]) -> Iterator[Step]:
    """What to delete; a topic takes its subscriptions with it."""
    for queue in namespace.get("Queues", []):
        yield f"queue {queue['Name']}", lambda: client.delete_queue(queue["Name"])  # noqa: B023
    for topic in namespace.get("Topics", []):
        yield f"topic {topic['Name']}", lambda: client.delete_topic(topic["Name"])  # noqa: B023


def properties(entity: dict[str, Any]) -> dict[str, Any]:
    """The properties of an entity by the client's names; times stay ISO 8601 texts."""
    given = entity.get("Properties", {})
    return {PROPERTIES[name]: value for name, value in given.items() if value != ""}


def filter_of(rule: dict[str, Any]) -> CorrelationRuleFilter | SqlRuleFilter:
    """The filter of a rule."""
    from azure.servicebus.management import CorrelationRuleFilter, SqlRuleFilter

    given = rule["Properties"]
    if given["FilterType"] == "Sql":
        return SqlRuleFilter(given["SqlFilter"]["SqlExpression"])
    conditions = given["CorrelationFilter"]
    system = {SYSTEM_NAMES[name]: value for name, value in conditions.items() if name != "Properties"}
    return CorrelationRuleFilter(**system, properties=conditions.get("Properties"))


if __name__ == "__main__":
    sys.exit(main())
