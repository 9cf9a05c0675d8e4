"""Messages and blobs for a person: sends, looks and takes, with the connection that is at hand. It starts nothing."""
