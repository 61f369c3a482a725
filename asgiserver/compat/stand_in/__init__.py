"""A directory for PYTHONPATH: Python finds what lies here in the place of other servers."""
