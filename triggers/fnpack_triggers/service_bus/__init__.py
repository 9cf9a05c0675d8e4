"""The Service Bus trigger and the Service Bus output: queues, topics and subscriptions."""
