"""Stand-ins: the interfaces of other servers, on this one.

A stand-in is for programs that bring a server of their own. Nothing else of the package imports it.
"""
