"""Figures of a server: what is counted and measured, for whoever wants to show it."""
