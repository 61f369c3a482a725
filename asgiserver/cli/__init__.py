"""The command line: arguments become options, what is printed, and the exit code."""
