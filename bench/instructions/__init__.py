"""A regression check that counts instructions: ``python -m bench.instructions``. See README.md, one folder up."""
