"""The driver: sockets, TLS and the turn of the loop for both hosts, trio and asyncio. Knows neither of them."""

from __future__ import annotations
