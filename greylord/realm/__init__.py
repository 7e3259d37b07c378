"""A small imaginary BBS with a game on it.

It lets everything be tried without real recordings. `world` is the host, `players` are scripted callers, and
`recorder` makes the recordings that a telnet proxy between them would write.
"""
