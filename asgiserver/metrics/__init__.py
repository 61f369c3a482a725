"""Figures of a server: what it counts and measures, for programs that show it."""
