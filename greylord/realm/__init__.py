"""A small imaginary BBS with a game behind it, for those who have no recordings yet.

`world` is the host as an object, `players` are the callers as scripts, `recorder` is what a telnet proxy
between them hears.
"""
