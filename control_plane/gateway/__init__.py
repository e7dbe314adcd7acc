"""The gateway's shell: sockets, and the fan-out of what is announced to those who follow it."""
