"""The demo: a chat page with rooms and images, and its server (``siocore demo``)."""

from siocore.demo.application import make_demo

__all__ = ["make_demo"]
