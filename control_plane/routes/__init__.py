"""One thin file a resource: from HTTP to an action and back."""
