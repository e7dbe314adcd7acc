"""The media node: signalling and decisions in Python, packets in the native engine."""
