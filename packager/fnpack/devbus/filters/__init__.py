"""Which messages of a topic a subscription gets: correlation filters, SQL filters, and what rules do to messages."""
