"""The control plane: it decides who may do what, keeps it, and announces it. It never sees media."""
