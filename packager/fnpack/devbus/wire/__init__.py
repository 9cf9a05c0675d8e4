"""The front end: AMQP connections of clients, on top of the entities. All in one event loop, without locks."""
