"""Packets to text and back: pure functions of their arguments, without state, clock or I/O.

Everything else imports these names from :mod:`siocore._speedups`, which takes the compiled build where there is one.
"""
