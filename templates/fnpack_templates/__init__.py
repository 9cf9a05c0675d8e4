"""Files that go into apps and images. No logic lives here."""
