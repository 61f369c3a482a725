"""A directory for PYTHONPATH: what lies in it is found in the place of packages of other servers."""
