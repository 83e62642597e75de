"""Pages of this app, by subject."""
