"""Measurements, never tests: each runs with one command and keeps what it found as JSON."""
