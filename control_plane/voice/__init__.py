"""Who is in which voice channel: grants, voice sessions, and the link to the media node."""
