# Nothing is declared: what subclasses of the adapters override stays as it is in Python.
