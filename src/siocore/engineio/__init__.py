"""Engine.IO sessions (protocol revision 4), server side. Knows neither HTTP parsing nor WebSocket frames.

Spec: the Engine.IO protocol, revision 4.
"""
