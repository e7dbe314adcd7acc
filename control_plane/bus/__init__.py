"""What control nodes tell each other, best effort: losing all of it loses nothing acknowledged."""
