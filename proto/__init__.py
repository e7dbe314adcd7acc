"""Every wire format of Chorale, written once. Imports nothing of ours."""
