"""The command line: its arguments, its output and its exit code."""
